// The picture that is to be restored, and the mask that is painted on it.

import { $, pixels, tell } from "./dom.js";
import { Mask } from "./mask.js";
import { Pic, View } from "./view.js";

// Editor is the left side of the page's second step. mode is what a pointer does: "mask" paints, "line" draws a line
// along a streak, "" moves the picture.
export class Editor {
  constructor() {
    this.canvas = $("edit-canvas");
    this.view = new View(this.canvas, (ctx) => this.paint(ctx));
    this.mode = "";
    this.brush = "brush"; // or eraser, box
    this.line = null; // {x, y, length, angle}: of a streak, by its middle
    this.onLine = () => {};
    this.onMask = () => {};
    this.view.use(this);
    this.listen();
  }

  // open shows a picture. Where the browser cannot, pic stays null and size unknown. steps are those of a mask that
  // was painted before.
  async open(file, steps) {
    this.pic?.close();
    this.file = file;
    this.pic = this.mask = this.line = this.cursor = null;
    this.painting = false;
    let pic = null;
    try {
      pic = await Pic.of(file);
    } catch { /* the server may know the format all the same */ }
    if (this.file !== file) return pic?.close(); // another one came meanwhile
    this.pic = pic;
    $("picture-name").textContent = file.name || "Picture";
    $("picture-size").textContent = pic ? `${pixels(pic.width, pic.height)}` : "";
    $("no-view").hidden = Boolean(pic);
    tell($("mask-error"), "");
    tell($("picture-error"), "");
    this.transparent = Boolean(pic?.transparent);
    if (pic) {
      this.mask = new Mask(pic.width, pic.height);
      this.mask.changed = () => this.maskChanged();
      this.mask.measure();
      this.view.show(pic.width, pic.height);
      this.view.fit();
      if (steps) await this.mask.repeat(steps);
      else if (this.transparent) { // they are holes until the user says otherwise
        await this.mask.load(file, true);
        this.transparent = !this.mask.empty;
      }
      if (this.file !== file) return;
    }
    this.view.redraw();
  }

  setMode(mode) {
    this.mode = this.pic ? mode : "";
    $("mask-tools").hidden = this.mode !== "mask";
    $("mask-keys").hidden = this.mode !== "mask";
    $("line-keys").hidden = this.mode !== "line";
    $("mask-state").hidden = this.mode !== "mask";
    this.canvas.setAttribute("aria-label", this.mode === "mask" ? "The picture, to paint the mask on" : "The picture");
    this.canvas.style.cursor = this.mode ? "crosshair" : "grab";
    this.cursor = null;
    this.view.redraw();
  }

  setBrush(brush) {
    this.brush = brush;
    for (const b of document.querySelectorAll("[data-tool]")) {
      const on = b.dataset.tool === brush;
      b.setAttribute("aria-checked", String(on));
      b.tabIndex = on ? 0 : -1;
    }
    this.view.redraw();
  }

  // size is the brush's diameter in pixels of the picture: from two thousandths to four tenths of its longer side.
  get size() {
    const share = 0.002 * 200 ** (Number($("brush-size").value) / 100);
    return Math.max(1, share * Math.max(this.pic?.width ?? 1, this.pic?.height ?? 1));
  }

  maskChanged() {
    const { mask } = this;
    $("undo").disabled = !mask.done.length;
    $("redo").disabled = !mask.undone.length;
    $("mask-clear").disabled = mask.empty;
    const percent = 100 * mask.share;
    $("mask-state").textContent = mask.empty ? "Nothing is painted yet."
      : `${percent < 0.1 ? "Less than 0.1" : percent.toFixed(percent < 10 ? 1 : 0)} % of the picture is painted.`;
    if (!mask.empty) tell($("mask-error"), "");
    this.onMask();
    this.view.redraw();
  }

  // The tool of the view.
  down([x, y], e) {
    if (this.mode === "line") {
      this.from = [x, y];
      return true;
    }
    if (this.mode !== "mask" || !this.mask) return false;
    const erase = this.brush === "eraser" || Boolean(e.buttons & 32); // 32 is the back end of a pen
    if (this.brush === "box") this.mask.begin({ kind: "box", x0: x, y0: y, x1: x, y1: y });
    else this.mask.begin({ kind: "stroke", erase, size: this.size, points: [x, y] });
    this.view.redraw();
    return true;
  }

  move([x, y]) {
    if (this.mode === "line") {
      const dx = x - this.from[0], dy = this.from[1] - y;
      const length = Math.hypot(dx, dy);
      if (length < 1) return;
      let angle = Math.atan2(dy, dx) * 180 / Math.PI; // of a line, not of an arrow: -90 to 90
      if (angle > 90) angle -= 180;
      if (angle < -90) angle += 180;
      this.line = { x: (x + this.from[0]) / 2, y: (y + this.from[1]) / 2, length, angle };
      this.onLine(this.line);
    } else if (this.brush === "box") this.mask.corner(x, y);
    else this.mask.line(x, y);
    this.view.redraw();
  }

  up() {
    if (this.mode !== "mask") return;
    const step = this.mask.now;
    if (step.kind === "box") this.mask.now = null;
    if (step.kind !== "box") this.mask.end();
    else if (Math.abs(step.x1 - step.x0) >= 0.5 && Math.abs(step.y1 - step.y0) >= 0.5) this.mask.add(step);
    this.view.redraw();
  }

  cancel() {
    this.painting = false;
    if (this.mode === "mask") this.mask.cancel();
  }

  hover(point) {
    this.cursor = point;
    if (this.mode === "mask") this.view.redraw();
  }

  paint(ctx) {
    if (!this.pic) return;
    const [x, y, w, h] = this.view.rect(), s = this.view.scale;
    this.pic.draw(ctx, x, y, w, h);
    if (this.mode === "mask") {
      ctx.globalAlpha = 0.6;
      ctx.imageSmoothingEnabled = true;
      ctx.drawImage(this.mask.canvas, x, y, w, h);
      const box = this.mask.now?.kind === "box" && this.mask.now;
      if (box) {
        ctx.fillStyle = "#e0244f";
        ctx.fillRect(x + s * box.x0, y + s * box.y0, s * (box.x1 - box.x0), s * (box.y1 - box.y0));
      }
      ctx.globalAlpha = 1;
      if (this.cursor) this.paintCursor(ctx, x + s * this.cursor[0], y + s * this.cursor[1], s);
    }
    if (this.mode === "line" && this.line) this.paintLine(ctx, x, y, s);
  }

  paintCursor(ctx, x, y, s) {
    const r = this.brush === "box" ? 5 : Math.max(2, s * this.size / 2);
    for (const [colour, width] of [["rgb(0 0 0 / .7)", 3], ["#fff", 1.3]]) {
      ctx.strokeStyle = colour;
      ctx.lineWidth = width;
      ctx.beginPath();
      ctx.arc(x, y, r, 0, 2 * Math.PI);
      ctx.stroke();
    }
  }

  paintLine(ctx, left, top, s) {
    const { x, y, length, angle } = this.line;
    const dx = Math.cos(angle * Math.PI / 180) * length / 2, dy = -Math.sin(angle * Math.PI / 180) * length / 2;
    for (const [colour, width] of [["rgb(0 0 0 / .75)", 6], ["#fff", 2.5]]) {
      ctx.strokeStyle = colour;
      ctx.lineWidth = width;
      ctx.lineCap = "round";
      ctx.beginPath();
      ctx.moveTo(left + s * (x - dx), top + s * (y - dy));
      ctx.lineTo(left + s * (x + dx), top + s * (y + dy));
      ctx.stroke();
    }
  }

  listen() {
    for (const b of document.querySelectorAll("[data-tool]")) {
      b.addEventListener("click", () => this.setBrush(b.dataset.tool));
      b.addEventListener("keydown", (e) => {
        const all = [...document.querySelectorAll("[data-tool]")];
        const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[e.key];
        if (!by) return;
        e.preventDefault();
        const next = all[(all.indexOf(b) + by + all.length) % all.length];
        this.setBrush(next.dataset.tool);
        next.focus();
      });
    }
    this.setBrush("brush");
    $("brush-size").addEventListener("input", () => this.view.redraw());
    $("undo").addEventListener("click", () => this.mask.undo());
    $("redo").addEventListener("click", () => this.mask.redo());
    $("mask-invert").addEventListener("click", () => this.mask.add({ kind: "invert" }));
    $("mask-clear").addEventListener("click", () => this.mask.add({ kind: "clear" }));
    $("mask-file").addEventListener("change", async (e) => {
      const [file] = e.target.files;
      e.target.value = "";
      if (file) await this.loadMask(file);
    });
    document.addEventListener("keydown", (e) => this.key(e));
  }

  async loadMask(file) {
    try {
      tell($("mask-error"), "");
      await this.mask.load(file);
    } catch (err) {
      tell($("mask-error"), err.message);
    }
  }

  // key is the keyboard's part: shortcuts where no control has the focus, and a brush that arrows move.
  key(e) {
    const here = e.target === this.canvas;
    if (this.canvas.offsetParent === null) return;
    if (!here && e.target !== document.body && !e.target.closest(".stage, .tools")) return;
    const undo = (e.ctrlKey || e.metaKey) && e.key.toLowerCase();
    const painting = this.mode === "mask" && this.mask;
    if (painting && (undo === "z" || undo === "y")) {
      if (undo === "y" || e.shiftKey) this.mask.redo();
      else this.mask.undo();
    } else if (e.ctrlKey || e.metaKey || e.altKey) return;
    else if (painting && (e.key === "[" || e.key === "]")) {
      $("brush-size").value = Number($("brush-size").value) + (e.key === "]" ? 4 : -4);
      this.view.redraw();
    } else if (painting && "ber".includes(e.key.toLowerCase())) {
      this.setBrush({ b: "brush", e: "eraser", r: "box" }[e.key.toLowerCase()]);
    } else if (!(here && painting && this.paintByKey(e)) && !this.view.key(e)) return;
    e.preventDefault();
  }

  paintByKey(e) {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[e.key];
    this.cursor ??= [this.pic.width / 2, this.pic.height / 2];
    if (by) {
      const step = Math.max(1, this.size / (e.shiftKey ? 1 : 4));
      const clip = (v, most) => Math.min(most, Math.max(0, v));
      this.cursor = [clip(this.cursor[0] + by[0] * step, this.pic.width),
        clip(this.cursor[1] + by[1] * step, this.pic.height)];
      if (this.painting) this.move(this.cursor);
    } else if (e.key === "Enter") {
      if (this.painting) this.up();
      else this.down(this.cursor, e);
      this.painting = !this.painting;
    } else if (e.key === "Escape" && this.painting) this.cancel();
    else return false;
    this.view.redraw();
    return true;
  }
}
