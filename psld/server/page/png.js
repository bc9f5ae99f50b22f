// Black and white PNGs of any size: browsers refuse canvases as large as a camera's pictures.

const table = new Uint32Array(256).map((_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

// chunk is length, name, data and checksum (ISO 15948, 5.3).
function chunk(name, data) {
  const out = new Uint8Array(data.length + 12);
  const view = new DataView(out.buffer);
  view.setUint32(0, data.length);
  for (let i = 0; i < 4; i++) out[4 + i] = name.charCodeAt(i);
  out.set(data, 8);
  let crc = 0xffffffff;
  for (let i = 4; i < out.length - 4; i++) crc = table[(crc ^ out[i]) & 255] ^ (crc >>> 8);
  view.setUint32(out.length - 4, ~crc >>> 0);
  return out;
}

// bitPNG encodes a picture of one bit a pixel. strip(y, rows) returns the RGBA bytes of some rows; what is opaque
// becomes white, the rest black.
export async function bitPNG(width, height, strip) {
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([1, 0, 0, 0, 0], 8); // one bit, grey, no interlacing

  const zip = new CompressionStream("deflate"); // with zlib's header, as PNG wants it
  const packed = new Response(zip.readable).arrayBuffer();
  const writer = zip.writable.getWriter();
  const stride = 1 + Math.ceil(width / 8); // a row begins with its filter, 0 for none
  const most = Math.max(1, Math.min(height, Math.floor((1 << 20) / width)));
  for (let y = 0; y < height; y += most) {
    const n = Math.min(most, height - y);
    const rgba = strip(y, n);
    const rows = new Uint8Array(n * stride);
    for (let r = 0; r < n; r++) {
      for (let x = 0, at = 4 * r * width + 3; x < width; x++, at += 4) {
        if (rgba[at] >= 128) rows[r * stride + 1 + (x >> 3)] |= 128 >> (x & 7);
      }
    }
    await writer.write(rows);
  }
  await writer.close();
  return new Blob([
    Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10),
    chunk("IHDR", header), chunk("IDAT", new Uint8Array(await packed)), chunk("IEND", new Uint8Array(0)),
  ], { type: "image/png" });
}
