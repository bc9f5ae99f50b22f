// Small live pictures of what a slider means, drawn at the middle of the user's own picture, pixel by pixel.

// ground draws the middle of the picture, pale; it returns how many pixels of the sketch are one of the picture.
function ground(ctx, pic, reach) {
  const side = ctx.canvas.width;
  const zoom = Math.max(0.25, Math.min(4, side / Math.max(48, 2.6 * reach)));
  ctx.setTransform(1, 0, 0, 1, 0, 0);
  ctx.fillStyle = "#16201f";
  ctx.fillRect(0, 0, side, side);
  if (pic) {
    const part = side / zoom;
    ctx.globalAlpha = 0.45;
    ctx.drawImage(pic.full, (pic.width - part) / 2, (pic.height - part) / 2, part, part, 0, 0, side, side);
    ctx.globalAlpha = 1;
  }
  return zoom;
}

// blur draws what a Gaussian blur makes of a point of light.
export function blur(canvas, pic, std) {
  const ctx = canvas.getContext("2d");
  const zoom = ground(ctx, pic, 6 * std), c = canvas.width / 2, r = 3 * std * zoom;
  const light = ctx.createRadialGradient(c, c, 0, c, c, r);
  for (let i = 0; i <= 12; i++) light.addColorStop(i / 12, `rgb(255 255 255 / ${Math.exp(-((i / 4) ** 2) / 2)})`);
  ctx.fillStyle = light;
  ctx.fillRect(c - r, c - r, 2 * r, 2 * r);
}

// motion draws the streak that a straight motion makes of it; angle in degrees, counter-clockwise.
export function motion(canvas, pic, length, angle) {
  const ctx = canvas.getContext("2d");
  const zoom = ground(ctx, pic, length), c = canvas.width / 2, a = angle * Math.PI / 180;
  const dx = Math.cos(a) * length * zoom / 2, dy = -Math.sin(a) * length * zoom / 2;
  ctx.strokeStyle = "#fff";
  ctx.lineWidth = Math.max(3, 1.5 * zoom);
  ctx.lineCap = "round";
  ctx.beginPath();
  ctx.moveTo(c - dx, c - dy);
  ctx.lineTo(c + dx, c + dy);
  ctx.stroke();
}

// noise draws Gaussian noise of deviation sigma on [-1,1] on a ramp of greys.
export function noise(canvas, sigma) {
  const ctx = canvas.getContext("2d"), n = canvas.width;
  const image = ctx.createImageData(n, n);
  let seed = 1;
  const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647; // the same grain at each strength
  const size = 2;
  for (let y = 0; y < n; y += size) {
    for (let x = 0; x < n; x += size) {
      const ramp = 40 + 175 * (x + y) / (2 * n);
      const rgb = [0, 1, 2].map(() =>
        ramp + 127.5 * sigma * Math.sqrt(-2 * Math.log(random())) * Math.cos(2 * Math.PI * random()));
      for (let k = 0; k < size * size; k++) {
        image.data.set([...rgb, 255], 4 * ((y + (k >> 1)) * n + x + (k & 1)));
      }
    }
  }
  ctx.putImageData(image, 0, 0);
}
