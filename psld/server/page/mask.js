// The mask: which pixels are to be repainted. It is kept as the list of what was done: undo is exact, a copy of modest
// size serves the eye, and the file that is sent has all pixels of the picture.

import { el } from "./dom.js";
import { bitPNG } from "./png.js";

const colour = "#e0244f"; // --mask of the page's style
const small = 2048; // longest side of the copy for the eye

export class Mask {
  constructor(width, height) {
    this.width = width;
    this.height = height;
    this.done = []; // {kind: stroke | box | image | invert | clear, ...}, in pixels of the picture
    this.undone = [];
    this.scale = Math.min(1, small / Math.max(width, height));
    this.canvas = el("canvas", {
      width: Math.max(1, Math.round(width * this.scale)), height: Math.max(1, Math.round(height * this.scale)),
    });
    this.ctx = this.canvas.getContext("2d", { willReadFrequently: true });
    this.ctx.setTransform(this.canvas.width / width, 0, 0, this.canvas.height / height, 0, 0);
    this.share = 0; // of the picture that is covered
    this.changed = () => {};
  }

  // begin starts a step; a stroke is then prolonged by line, a box by corner, and end closes it.
  begin(step) {
    this.now = step;
    this.apply(this.ctx, step, Math.max(0, (step.points?.length ?? 0) - 4));
  }

  line(x, y) {
    this.now.points.push(x, y);
    this.apply(this.ctx, this.now, this.now.points.length - 4);
  }

  corner(x, y) {
    Object.assign(this.now, { x1: x, y1: y });
  }

  end() {
    const step = this.now;
    this.now = null;
    this.add(step);
  }

  cancel() {
    this.now = null;
    this.replay();
  }

  add(step) {
    this.done.push(step);
    this.undone = [];
    if (step.kind !== "stroke") this.apply(this.ctx, step);
    this.measure();
  }

  undo() { this.take(this.done, this.undone); }
  redo() { this.take(this.undone, this.done); }

  take(from, to) {
    if (!from.length) return;
    to.push(from.pop());
    this.replay();
  }

  replay() {
    this.ctx.clearRect(0, 0, this.width, this.height);
    for (const step of this.done) this.apply(this.ctx, step);
    this.measure();
  }

  // measure finds out how much is covered.
  measure() {
    const { data } = this.ctx.getImageData(0, 0, this.canvas.width, this.canvas.height);
    let n = 0;
    for (let i = 3; i < data.length; i += 4) if (data[i] >= 128) n++;
    this.share = n / (data.length / 4);
    // A hair of a stroke can vanish in the small copy: what was painted last counts.
    const last = this.done.at(-1);
    this.empty = n === 0 && !(last && (last.kind === "stroke" || last.kind === "box") && !last.erase);
    this.changed();
  }

  // apply draws a step, opaque where it covers; a stroke from its from-th coordinate on.
  apply(ctx, step, from = 0) {
    ctx.globalCompositeOperation = step.erase ? "destination-out" : "source-over";
    ctx.fillStyle = ctx.strokeStyle = colour;
    switch (step.kind) {
      case "stroke": {
        const p = step.points;
        ctx.lineWidth = step.size;
        ctx.lineCap = ctx.lineJoin = "round";
        ctx.beginPath();
        ctx.moveTo(p[from], p[from + 1]);
        if (p.length === from + 2) ctx.lineTo(p[from], p[from + 1]);
        for (let i = from + 2; i < p.length; i += 2) ctx.lineTo(p[i], p[i + 1]);
        ctx.stroke();
        break;
      }
      case "box": {
        const { x0, y0, x1, y1 } = step;
        ctx.fillRect(Math.round(Math.min(x0, x1)), Math.round(Math.min(y0, y1)),
          Math.round(Math.abs(x1 - x0)), Math.round(Math.abs(y1 - y0)));
        break;
      }
      case "image":
        ctx.clearRect(0, 0, this.width, this.height);
        for (const s of step.strips) ctx.drawImage(s.bitmap, 0, s.y);
        break;
      case "invert":
        ctx.globalCompositeOperation = "source-out";
        ctx.fillRect(0, 0, this.width, this.height);
        break;
      case "clear":
        ctx.clearRect(0, 0, this.width, this.height);
    }
    ctx.globalCompositeOperation = "source-over";
  }

  // file is the mask as a PNG of the picture's size, white where to repaint.
  file() {
    let canvas, ctx;
    return bitPNG(this.width, this.height, (y, rows) => {
      if (!canvas) {
        canvas = el("canvas", { width: this.width, height: rows });
        ctx = canvas.getContext("2d", { willReadFrequently: true });
      }
      ctx.setTransform(1, 0, 0, 1, 0, 0);
      ctx.clearRect(0, 0, this.width, canvas.height);
      ctx.setTransform(1, 0, 0, 1, 0, -y);
      for (const step of this.done) this.apply(ctx, step);
      return ctx.getImageData(0, 0, this.width, rows).data;
    });
  }

  // load takes a picture as the mask: what is transparent in it, or if nothing is, what is white. It throws an Error
  // for another size and for what is no picture. With alphaOnly white does not count.
  async load(blob, alphaOnly = false) {
    let bitmap;
    try {
      bitmap = await createImageBitmap(blob);
    } catch {
      throw new Error("The mask is no picture that this browser can read");
    }
    if (bitmap.width !== this.width || bitmap.height !== this.height) {
      throw new Error(`The mask has ${bitmap.width} × ${bitmap.height} pixels, the picture ${this.width} × ` +
        `${this.height}: they must have the same size`);
    }
    const rows = Math.max(1, Math.min(this.height, Math.floor((1 << 20) / this.width)));
    const canvas = el("canvas", { width: this.width, height: rows });
    const ctx = canvas.getContext("2d", { willReadFrequently: true });
    const read = (y, n) => {
      ctx.clearRect(0, 0, this.width, rows);
      ctx.drawImage(bitmap, 0, -y);
      return ctx.getImageData(0, 0, this.width, n);
    };
    let holes = alphaOnly;
    for (let y = 0; y < this.height && !holes; y += rows) {
      const { data } = read(y, Math.min(rows, this.height - y));
      for (let i = 3; i < data.length && !holes; i += 4) holes = data[i] < 128;
    }
    const [r, g, b] = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
    const strips = [];
    for (let y = 0; y < this.height; y += rows) {
      const image = read(y, Math.min(rows, this.height - y));
      const d = image.data;
      for (let i = 0; i < d.length; i += 4) {
        const white = 0.299 * d[i] + 0.587 * d[i + 1] + 0.114 * d[i + 2] > 127;
        d[i + 3] = (holes ? d[i + 3] < 128 : white) ? 255 : 0;
        d[i] = r;
        d[i + 1] = g;
        d[i + 2] = b;
      }
      strips.push({ y, bitmap: await createImageBitmap(image) });
    }
    bitmap.close();
    this.add({ kind: "image", strips, blob, alphaOnly });
  }

  // steps are what was done, as it can be kept and given to repeat.
  steps() { return this.done.map(({ strips, ...step }) => step); }

  async repeat(steps) {
    for (const step of steps) {
      if (step.kind === "image") {
        await this.load(step.blob, step.alphaOnly);
        continue;
      }
      if (step.kind === "stroke") this.apply(this.ctx, step); // add has it drawn already
      this.add(step);
    }
  }
}
