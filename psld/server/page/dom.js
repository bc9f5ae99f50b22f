// Small helpers: elements, icons, and numbers in words.

export const $ = (id) => document.getElementById(id);

// el makes an element: properties (on… are listeners, names with a dash are attributes), then children.
export function el(tag, props = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined) continue;
    if (name.startsWith("on")) e.addEventListener(name.slice(2), value);
    else if (name in e) e[name] = value;
    else e.setAttribute(name === "class" ? "class" : name, value);
  }
  e.append(...children);
  return e;
}

const svgNS = "http://www.w3.org/2000/svg";

// svg makes an element of SVG with attributes.
export function svg(tag, attributes = {}) {
  const e = document.createElementNS(svgNS, tag);
  for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
  return e;
}

export function icon(name, className = "icon") {
  const e = svg("svg", { class: className, "aria-hidden": "true" });
  e.append(svg("use", { href: `/page/icons.svg#${name}` }));
  return e;
}

// tell shows a sentence in an element, or hides it where there is none.
export function tell(e, sentence) {
  e.hidden = !sentence;
  e.textContent = sentence ? asSentence(sentence) : "";
}

// asSentence gives an error text its capital and its full stop.
export function asSentence(s) {
  s = s.trim();
  return s.charAt(0).toUpperCase() + s.slice(1) + (/[.!?…]$/.test(s) ? "" : ".");
}

let saying;
// say has screen readers say a sentence.
export function say(sentence) {
  clearTimeout(saying);
  $("say").textContent = "";
  saying = setTimeout(() => { $("say").textContent = sentence; }, 60);
}

// inWords tells seconds as people do: "about 12 s".
export function inWords(seconds) {
  if (!(seconds > 0)) return "";
  if (seconds < 20) return `about ${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 90) return `about ${5 * Math.round(seconds / 5)} s`;
  if (seconds < 5700) return `about ${Math.round(seconds / 60)} min`;
  if (seconds < 72 * 3600) return `about ${Math.round(seconds / 1800) / 2} h`;
  return `about ${Math.round(seconds / 86400)} days`;
}

export const capital = (s) => s.charAt(0).toUpperCase() + s.slice(1);
export const pixels = (w, h) => `${w} × ${h}`;

const when = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
export const atTime = (text) => when.format(new Date(text));

// store keeps JSON in the browser; without storage it forgets.
export const store = {
  get(key, otherwise) {
    try { return JSON.parse(localStorage.getItem(key)) ?? otherwise; } catch { return otherwise; }
  },
  set(key, value) {
    try { localStorage.setItem(key, JSON.stringify(value)); } catch { /* full or forbidden */ }
  },
};
