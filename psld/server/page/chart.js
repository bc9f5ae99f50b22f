// The curve of the loss, in an SVG of 320 x 72.

import { svg } from "./dom.js";

const width = 320, height = 72, edge = 4;

// draw draws the curve; the scale is logarithmic where the values span much. It tells whether there is one.
export function draw(element, values) {
  const finite = values.filter((v) => Number.isFinite(v));
  if (finite.length < 3) return false;
  const most = Math.max(...finite);
  const least = Math.min(...finite);
  const f = least > 0 && most > 20 * least ? Math.log : (v) => v;
  const low = f(least), span = f(most) - low || 1;
  const points = values.flatMap((v, i) => Number.isFinite(v) ? [[
    edge + i / (values.length - 1) * (width - 2 * edge),
    edge + (1 - (f(v) - low) / span) * (height - 2 * edge)]] : []);
  element.replaceChildren(
    svg("path", { class: "base", d: `M0 ${height - 1}H${width}` }),
    svg("path", { d: "M" + points.map((p) => p.map((v) => v.toFixed(1)).join(" ")).join("L") }));
  element.setAttribute("aria-label",
    `Curve of the error, from ${values[0].toPrecision(3)} to ${values.at(-1).toPrecision(3)}`);
  return true;
}
