// Before and after, with a line between them that can be moved.

export class Compare {
  constructor(view, divider, tags) {
    this.view = view;
    this.divider = divider;
    this.tags = tags; // [left, right]
    this.share = 0.5; // of what is seen of the picture that is left of the line
    this.before = this.after = null;
    view.paint = (ctx) => this.paint(ctx);
    view.use({
      down: (p, e) => this.view.fitted && this.both() && (this.set(e), true),
      move: (p, e) => this.set(e), up() {}, cancel() {}, hover() {},
    });
    this.listen();
  }

  // show sets the pictures, either may be null, and the size that both are drawn in.
  show(before, after, width, height, names = ["Before", "After"]) {
    this.before = before;
    this.after = after;
    names.forEach((name, i) => { this.tags[i].textContent = name; });
    const both = this.both();
    this.divider.hidden = !both;
    this.tags.forEach((tag) => { tag.hidden = !both; });
    // One finger scrolls the page past the picture; the line has its grip.
    this.view.canvas.style.touchAction = "pan-y";
    this.view.show(width, height);
    this.view.redraw();
  }

  both() { return Boolean(this.before && this.after); }

  // seen are the ends of what is seen of the picture, in CSS pixels of the canvas.
  seen() {
    const [x, , w] = this.view.rect();
    return [Math.max(0, x), Math.min(this.view.cssWidth, x + w)];
  }

  paint(ctx) {
    const [x, y, w, h] = this.view.rect();
    if (!this.both()) {
      (this.after ?? this.before)?.draw(ctx, x, y, w, h);
      return;
    }
    const [low, high] = this.seen();
    const at = low + this.share * (high - low);
    const part = (pic, from, to) => {
      ctx.save();
      ctx.beginPath();
      ctx.rect(from, 0, to - from, this.view.cssHeight);
      ctx.clip();
      pic.draw(ctx, x, y, w, h);
      ctx.restore();
    };
    part(this.before, 0, at);
    part(this.after, at, this.view.cssWidth);
    this.divider.style.left = `${at}px`;
    this.divider.setAttribute("aria-valuenow", String(Math.round(100 * this.share)));
    this.divider.setAttribute("aria-valuetext",
      `${Math.round(100 * this.share)} % ${this.tags[0].textContent.toLowerCase()}`);
    this.tags[0].style.opacity = at - low > 60 ? "1" : "0";
    this.tags[1].style.opacity = high - at > 60 ? "1" : "0";
  }

  // set moves the line to a pointer.
  set(e) {
    const [low, high] = this.seen();
    this.move((this.view.at(e)[0] - low) / Math.max(1, high - low));
  }

  move(share) {
    this.share = Math.min(1, Math.max(0, share));
    this.view.redraw();
  }

  listen() {
    const d = this.divider;
    d.addEventListener("pointerdown", (e) => d.setPointerCapture(e.pointerId));
    d.addEventListener("pointermove", (e) => d.hasPointerCapture(e.pointerId) && this.set(e));
    d.addEventListener("keydown", (e) => {
      const step = e.shiftKey ? 0.1 : 0.02;
      const to = { ArrowLeft: this.share - step, ArrowDown: this.share - step, ArrowRight: this.share + step,
        ArrowUp: this.share + step, PageDown: this.share - 0.1, PageUp: this.share + 0.1, Home: 0, End: 1 }[e.key];
      if (to !== undefined) {
        e.preventDefault();
        this.move(to);
      }
    });
  }
}
