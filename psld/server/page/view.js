// Pictures on a canvas, with zoom and pan by wheel, pinch, two fingers, space and drag, and buttons.

import { el, icon } from "./dom.js";

const small = 2048; // longest side of the copy that is drawn where all of a large picture is seen

let pattern;
// chequers is what stands behind transparent pixels.
function chequers(ctx) {
  if (!pattern) {
    const canvas = el("canvas", { width: 16, height: 16 });
    const c = canvas.getContext("2d");
    c.fillStyle = "#bbb";
    c.fillRect(0, 0, 16, 16);
    c.fillStyle = "#ddd";
    c.fillRect(0, 0, 8, 8);
    c.fillRect(8, 8, 8, 8);
    pattern = ctx.createPattern(canvas, "repeat");
  }
  return pattern;
}

// Pic is a picture to draw: whole, and as a smaller copy.
export class Pic {
  // of decodes a file; it throws where the browser does not know the format.
  static async of(blob) {
    const pic = new Pic();
    pic.full = await createImageBitmap(blob); // turned as its EXIF says
    pic.width = pic.full.width;
    pic.height = pic.full.height;
    const scale = small / Math.max(pic.width, pic.height);
    pic.less = scale >= 1 ? pic.full : await createImageBitmap(pic.full, {
      resizeWidth: Math.max(1, Math.round(pic.width * scale)),
      resizeHeight: Math.max(1, Math.round(pic.height * scale)), resizeQuality: "high",
    });
    pic.transparent = pic.hasHoles();
    return pic;
  }

  // draw draws it in the rectangle.
  draw(ctx, x, y, w, h) {
    if (this.transparent) {
      ctx.fillStyle = chequers(ctx);
      ctx.fillRect(x, y, w, h);
    }
    ctx.imageSmoothingEnabled = w < 8 * this.width; // from there on people want to see pixels
    ctx.imageSmoothingQuality = "high";
    ctx.drawImage(w > this.less.width ? this.full : this.less, x, y, w, h);
  }

  // hasHoles tells whether there seem to be transparent pixels; it looks at a small copy.
  hasHoles() {
    const scale = Math.min(1, 512 / Math.max(this.width, this.height));
    const canvas = el("canvas", { width: Math.ceil(this.width * scale), height: Math.ceil(this.height * scale) });
    const ctx = canvas.getContext("2d", { willReadFrequently: true });
    ctx.drawImage(this.less, 0, 0, canvas.width, canvas.height);
    const { data } = ctx.getImageData(0, 0, canvas.width, canvas.height);
    for (let i = 3; i < data.length; i += 4) if (data[i] < 250) return true;
    return false;
  }

  // close gives the memory back at once.
  close() {
    this.full.close();
    this.less.close();
  }
}

// View is the canvas. A pixel (x, y) of the picture is drawn at (scale x + left, scale y + top), in CSS pixels.
export class View {
  // paint(ctx, view) draws in CSS pixels; tool is what a pointer does, see use.
  constructor(canvas, paint) {
    this.canvas = canvas;
    this.ctx = canvas.getContext("2d");
    this.paint = paint;
    this.tool = null;
    this.width = this.height = 1;
    this.scale = 1;
    this.left = this.top = 0;
    this.fitted = true;
    this.pointers = new Map();
    this.space = false;
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.listen();
    this.buttons(canvas.parentElement.querySelector(".zoom"));
  }

  // use sets what a pointer does: an object of down(point, event), which returns whether it takes the pointer, and
  // move(point, event), up(), cancel(), hover(point or null); points are in pixels of the picture.
  use(tool) {
    this.tool = tool;
    this.redraw();
  }

  // show tells the size of the picture and fits it in.
  show(width, height) {
    if (this.width === width && this.height === height && this.cssWidth) return this.redraw();
    this.width = width;
    this.height = height;
    // On small screens the stage takes the picture's shape, within reason.
    const ratio = Math.min(2.4, Math.max(0.7, width / height));
    this.canvas.parentElement.style.setProperty("--ratio", String(ratio));
    this.fit();
  }

  resize() {
    const { clientWidth: w, clientHeight: h } = this.canvas;
    if (!w || !h) return;
    const dpr = window.devicePixelRatio || 1;
    const dx = (w - (this.cssWidth ?? w)) / 2, dy = (h - (this.cssHeight ?? h)) / 2;
    this.cssWidth = w;
    this.cssHeight = h;
    this.canvas.width = Math.round(w * dpr);
    this.canvas.height = Math.round(h * dpr);
    if (this.fitted) return this.fit();
    this.left += dx;
    this.top += dy;
    this.settle();
  }

  fitScale() {
    const edge = Math.min(24, this.cssWidth / 16);
    return Math.min((this.cssWidth - edge) / this.width, (this.cssHeight - edge) / this.height);
  }

  fit() {
    if (!this.cssWidth) return this.resize();
    this.fitted = true;
    this.scale = this.fitScale();
    this.settle();
  }

  // zoom changes the scale by a factor; the point (x, y) of the canvas stays where it is.
  zoom(factor, x = this.cssWidth / 2, y = this.cssHeight / 2) {
    const least = Math.min(this.fitScale(), 1), most = Math.max(40, this.fitScale());
    const scale = Math.min(most, Math.max(least, this.scale * factor));
    this.left = x - (x - this.left) * scale / this.scale;
    this.top = y - (y - this.top) * scale / this.scale;
    this.scale = scale;
    this.fitted = Math.abs(scale / this.fitScale() - 1) < 1e-3;
    this.settle();
  }

  // settle keeps the picture in view: centred where it fits in, else without gaps at its sides.
  settle() {
    const place = (at, size, room) => size <= room ? (room - size) / 2 : Math.min(0, Math.max(room - size, at));
    this.left = place(this.left, this.width * this.scale, this.cssWidth);
    this.top = place(this.top, this.height * this.scale, this.cssHeight);
    this.redraw();
  }

  redraw() {
    if (this.pending) return;
    this.pending = requestAnimationFrame(() => {
      this.pending = 0;
      if (!this.cssWidth) return;
      const dpr = this.canvas.width / this.cssWidth;
      this.ctx.setTransform(dpr, 0, 0, dpr, 0, 0);
      this.ctx.clearRect(0, 0, this.cssWidth, this.cssHeight);
      this.paint(this.ctx, this);
      const percent = `${Math.round(100 * this.scale * dpr)} %`;
      this.percent.textContent = percent;
      this.percent.setAttribute("aria-label", `${percent}: show the actual size`);
    });
  }

  // rect is where the picture lies: x, y, width, height.
  rect() { return [this.left, this.top, this.width * this.scale, this.height * this.scale]; }

  // point is the place of an event in the picture.
  point(e) {
    const [x, y] = this.at(e);
    return [(x - this.left) / this.scale, (y - this.top) / this.scale];
  }

  at(e) {
    const box = this.canvas.getBoundingClientRect();
    return [e.clientX - box.left, e.clientY - box.top];
  }

  buttons(group) {
    const button = (name, sign, act) => el("button",
      { type: "button", "aria-label": name, title: name, onclick: act }, icon(sign));
    this.percent = el("button", { type: "button", className: "percent", title: "Actual size",
      onclick: () => this.zoom(1 / this.scale / (window.devicePixelRatio || 1)) });
    group.append(button("Zoom out", "minus", () => this.zoom(1 / 1.5)), this.percent,
      button("Zoom in", "plus", () => this.zoom(1.5)), button("Fit", "fit", () => this.fit()));
  }

  // key zooms by the keyboard and tells whether it did.
  key(e) {
    if (e.ctrlKey || e.metaKey || e.altKey) return false;
    if (e.key === "+" || e.key === "=") this.zoom(1.5);
    else if (e.key === "-") this.zoom(1 / 1.5);
    else if (e.key === "0") this.fit();
    else return false;
    return true;
  }

  listen() {
    const c = this.canvas;
    c.addEventListener("wheel", (e) => {
      e.preventDefault();
      const lines = e.deltaMode === 1 ? 16 : 1;
      this.zoom(Math.exp(-e.deltaY * lines * (e.ctrlKey ? 0.01 : 0.0016)), ...this.at(e));
    }, { passive: false });

    // Space pans where nothing else wants it.
    document.addEventListener("keydown", (e) => {
      if (e.key !== " " || c.offsetParent === null || (e.target !== c && e.target !== document.body)) return;
      e.preventDefault();
      this.space = true;
      c.style.cursor = "grab";
    });
    document.addEventListener("keyup", (e) => {
      if (e.key !== " " || !this.space) return;
      this.space = false;
      c.style.cursor = "";
    });

    c.addEventListener("pointerdown", (e) => {
      if (e.pointerType === "mouse" && e.button > 1) return;
      c.setPointerCapture(e.pointerId);
      this.pointers.set(e.pointerId, this.at(e));
      if (this.pointers.size === 2) { // a pinch: what the first finger began was not meant
        if (this.held === "tool") this.tool.cancel();
        this.held = "pan";
      } else if (this.pointers.size === 1) {
        const pan = this.space || e.button === 1;
        this.held = !pan && this.tool?.down(this.point(e), e) ? "tool" : "pan";
      }
      if (e.button === 1) e.preventDefault();
    });
    c.addEventListener("pointermove", (e) => {
      const before = this.pointers.get(e.pointerId);
      if (!before) {
        if (e.pointerType !== "touch") this.tool?.hover(this.space ? null : this.point(e));
        return;
      }
      if (this.held === "tool") {
        for (const part of e.getCoalescedEvents?.() ?? [e]) this.tool.move(this.point(part), part);
        if (e.pointerType !== "touch") this.tool.hover(this.point(e));
      }
      const now = this.at(e);
      if (this.held === "pan") this.drag(e.pointerId, before, now);
      this.pointers.set(e.pointerId, now);
    });
    const release = (e) => {
      if (!this.pointers.delete(e.pointerId)) return;
      if (this.held === "tool") e.type === "pointerup" ? this.tool.up() : this.tool.cancel();
      if (!this.pointers.size) this.held = "";
      else this.held = "pan";
    };
    c.addEventListener("pointerup", release);
    c.addEventListener("pointercancel", release);
    c.addEventListener("pointerleave", () => this.tool?.hover(null));
  }

  // drag moves the picture with one pointer, and scales it with two.
  drag(id, before, now) {
    const other = [...this.pointers].find(([i]) => i !== id)?.[1];
    const share = other ? 0.5 : 1; // each of two fingers moves the middle by half
    this.left += share * (now[0] - before[0]);
    this.top += share * (now[1] - before[1]);
    if (!other) return this.settle();
    const apart = (p) => Math.hypot(p[0] - other[0], p[1] - other[1]);
    this.zoom(apart(now) / Math.max(1, apart(before)), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
  }
}
