// The form beside the picture: what is wrong, how much time it may take, and everything else under "advanced".

import * as api from "./api.js";
import * as draft from "./draft.js";
import { $, capital, el, icon, inWords, pixels, say, tell } from "./dom.js";
import { kindOf, kindsOf } from "./kinds.js";
import * as sketch from "./sketch.js";

const qualities = ["preview", "good", "best"];
const value = (id) => $(id).value;
const number = (id) => Number(value(id));
const radio = (name) => document.querySelector(`#options input[name="${name}"]:checked`)?.value;
// background is the method that fills a hole with pieces of the same picture.
const background = "patchmatch";

const setRadio = (name, v) => {
  const input = document.querySelector(`#options input[name="${name}"][value="${v}"]`);
  if (input) input.checked = true;
};

export class Options {
  // editor has the picture; submit(mask, kernel, options) is called by the button.
  constructor(editor, { tasks, models, methods }, submit) {
    this.editor = editor;
    this.kinds = kindsOf(tasks);
    this.models = models;
    this.methods = methods;
    this.submit = submit;
    this.kernel = null; // the file of the last job, where the form was filled from it
    this.build();
    this.listen();
  }

  build() {
    $("kinds").replaceChildren(...this.kinds.map((k) => el("label", { className: "tile" },
      el("input", { type: "radio", name: "kind", value: k.id, className: "hidden-input" }),
      el("span", { title: k.text }, icon(`kind-${k.id}`, "art"), el("strong", {}, k.title)))));
    const scales = this.kinds.find((k) => k.part === "scale")?.tasks ?? [];
    $("scales").replaceChildren(...scales.toSorted((a, b) => a.scale - b.scale).map((t) => el("label", {},
      el("input", { type: "radio", name: "scale", value: t.name, className: "hidden-input",
        defaultChecked: t === scales[0] }), // so that a reset of the form leaves one
      el("span", {}, `${t.scale} ×`))));
    const other = this.kinds.find((k) => k.id === "other")?.tasks ?? [];
    $("other-task").replaceChildren(...other.map((t) => el("option", { value: t.name }, t.looks)));
    $("model").replaceChildren(...this.models.map((m) => el("option", { value: m.name }, m.name)));
    $("method").replaceChildren(el("option", { value: "auto" }, "Chosen for the task"),
      ...this.methods.map((m) => el("option", { value: m.name }, m.name)));
  }

  listen() {
    const form = $("options");
    form.addEventListener("submit", (e) => {
      e.preventDefault();
      this.send();
    });
    form.addEventListener("input", (e) => this.changed(e.target));
    form.addEventListener("change", (e) => this.changed(e.target));
    for (const b of document.querySelectorAll("[data-to-stage]")) {
      b.addEventListener("click", () => {
        $("mask-tools").scrollIntoView();
        $("edit-canvas").focus({ preventScroll: true });
      });
    }
    $("retry").addEventListener("click", () => this.send());
    this.editor.onMask = () => {
      this.told("send-error");
      this.save();
    };
    this.editor.onLine = ({ length, angle }) => {
      setRadio("motion", "line");
      if (length > number("motion-length")) $("motion-length").max = String(Math.max(100, Math.ceil(length)));
      $("motion-length").value = length;
      $("motion-angle").value = angle;
      this.sketches();
    };
  }

  told(id) {
    if (id === "send-error") $(id).hidden = true;
    else tell($(id), "");
  }

  // reset empties the form for another picture.
  reset() {
    $("options").reset();
    this.kernel = null;
    this.fillParams({});
    this.refresh();
  }

  get kind() { return this.kinds.find((k) => k.id === radio("kind")); }

  get task() {
    const { kind } = this;
    if (!kind) return null;
    if (kind.part === "scale") return kind.tasks.find((t) => t.name === radio("scale"));
    if (kind.part === "other") return kind.tasks.find((t) => t.name === value("other-task"));
    return kind.tasks[0];
  }

  // part names the fields that the task asks for.
  get part() {
    const { kind, task } = this;
    if (kind?.part !== "other") return kind?.part;
    if (task.needs === "mask") return task.guesses || task.tryable ? "missing" : "hole";
    return task.needs === "kernel" ? "blur" : "";
  }

  // painting tells whether the user says by a mask what is missing.
  get painting() {
    return this.part === "hole" || (this.part === "missing" && radio("missing") === "paint");
  }

  get trying() {
    const { task, part } = this;
    return Boolean(task?.tryable && (part === "missing" ? radio("missing") === "try" : $("try").checked));
  }

  changed(target) {
    if (target.name === "kind") {
      $("try").checked = false;
      this.told("kinds-error");
      this.told("details-error");
    }
    const leaves = target.name === "kind" && value("method") === background;
    if (target.name === "fill") $("method").value = target.value;
    if (leaves) $("method").value = "auto";
    if (target.id === "method" || target.name === "fill" || leaves) this.fillParams({});
    if (target.closest("#details")) this.told("details-error");
    if (target.closest("#advanced")) this.told("advanced-error");
    this.told("send-error");
    this.refresh();
    this.save();
  }

  // save keeps the draft, a moment after the last change.
  save() {
    clearTimeout(this.saving);
    this.saving = setTimeout(() => this.editor.file && draft.saveWork(this.work()), 300);
  }

  work() {
    return { steps: this.editor.mask?.steps() ?? [], kernel: this.kernelFile(), painted: this.painting,
      options: this.task ? this.options() : null };
  }

  // refresh shows what belongs to what is chosen.
  refresh() {
    const { task, part, kind, editor } = this;
    const parts = new Set([part, kind?.part]);
    for (const e of document.querySelectorAll("#details [data-part]")) e.hidden = !parts.has(e.dataset.part);
    for (const e of document.querySelectorAll("[data-when]")) {
      const [name, v] = e.dataset.when.split("=");
      e.hidden = radio(name) !== v;
    }
    for (const id of ["speed", "advanced", "send"]) $(id).hidden = !task;
    $("edit-zoom").hidden = !editor.pic;
    if (!task) {
      $("details").hidden = true;
      $("kind-text").textContent = "";
      return editor.setMode("");
    }
    $("transparent-hole").hidden = !editor.transparent;
    $("missing-try").hidden = !task.tryable;
    $("missing-black").textContent = editor.transparent ? "The transparent ones" : "The black ones";
    $("blur-auto").hidden = !task.guesses;
    if (!task.guesses && radio("blur") === "auto") {
      setRadio("blur", "width");
      return this.refresh();
    }
    $("other-does").textContent = `What is lost: ${task.lost}.`;
    $("try-row").hidden = !task.tryable || part === "missing";
    $("kind-text").textContent = part === "hole" || kind.id === "other" ? "" : kind.text;
    $("details").hidden = !part && !kind.part && $("try-row").hidden;
    const by = this.trying ? 1 : task.scale, { pic } = editor;
    $("scale-size").textContent = pic ? `The result has ${pixels(pic.width * by, pic.height * by)} pixels.` : "";
    $("paste-field").hidden = task.needs !== "mask";
    $("sigma-field").hidden = part === "noise";
    const model = this.models.find((m) => m.name === value("model"));
    $("model-about").textContent = model ? capital(model.description) : "";
    $("prompt-field").hidden = model?.kind !== "latent";
    const method = this.methods.find((m) => m.name === value("method"));
    $("method-about").textContent = method ? method.description : "";
    $("fill").hidden = !this.methods.some((m) => m.name === background);
    setRadio("fill", value("method") === background ? background : "auto");
    $("raw-mask").hidden = Boolean(editor.pic) || !this.painting;
    editor.setMode(this.painting ? "mask"
      : part === "motion" && radio("motion") === "line" && !this.trying ? "line" : "");
    this.sketches();
    this.predict();
  }

  sketches() {
    const { part, editor } = this;
    const std = number("blur-width"), length = number("motion-length"), angle = number("motion-angle");
    $("blur-out").textContent = `${std.toFixed(1)} pixels (standard deviation)`;
    $("length-out").textContent = `${length.toFixed(length < 20 ? 1 : 0)} pixels`;
    $("angle-out").textContent = `${Math.round(angle)}° ` +
      (Math.abs(angle) < 3 ? "(level)" : Math.abs(angle) > 87 ? "(upright)" : angle > 0 ? "(rising)" : "(falling)");
    const sigma = number("noise-sigma");
    $("noise-out").textContent = `${sigma.toFixed(2)}, or ${Math.round(127.5 * sigma)} of 255 levels`;
    if (part === "blur") sketch.blur($("blur-sketch"), editor.pic, std);
    if (part === "motion") {
      sketch.motion($("motion-sketch"), editor.pic, length, angle);
      if (editor.pic) {
        editor.line ??= { x: editor.pic.width / 2, y: editor.pic.height / 2 };
        Object.assign(editor.line, { length, angle });
        editor.view.redraw();
      }
    }
    if (part === "noise") sketch.noise($("noise-sketch"), sigma);
  }

  // fillParams makes the fields of the chosen method, with values where they are given.
  fillParams(values) {
    const method = this.methods.find((m) => m.name === value("method"));
    $("params").replaceChildren(...(method?.fields ?? []).map((f) => this.paramField(f, values[f.name])));
  }

  paramField(f, given) {
    const id = `param-${f.name}`;
    const low = f.min !== undefined && `${f.min_open ? "above" : "from"} ${f.min}`;
    const range = [low, f.max !== undefined && `to ${f.max}`].filter(Boolean).join(" ");
    const help = [f.help, range].filter(Boolean).join(", ");
    const values = f.kind === "boolean" ? [["true", "Yes"], ["false", "No"]] : f.choices?.map((c) => [c, capital(c)]);
    let input;
    if (values) {
      input = el("select", { id }, el("option", { value: "" }, "As suits the task"),
        ...values.map(([v, name]) => el("option", { value: v }, name)));
    } else if (f.kind === "text") {
      input = el("input", { id, type: "text", placeholder: "as suits the task" });
    } else {
      input = el("input", { id, type: "number", step: f.kind === "integer" ? "1" : "any",
        placeholder: "as suits the task", min: f.min ?? "", max: f.max ?? "" });
    }
    if (given !== undefined) input.value = String(given);
    input.dataset.param = f.name;
    input.dataset.kind = f.kind;
    const name = capital(f.name.replaceAll("_", " "));
    return el("label", { className: "field" }, el("span", { className: "label" }, name), input,
      el("span", { className: "small muted" }, capital(help)));
  }

  params() {
    const out = {};
    for (const input of document.querySelectorAll("#params [data-param]")) {
      if (input.value === "") continue;
      const { kind, param } = input.dataset;
      out[param] = kind === "boolean" ? input.value === "true" : ["integer", "number"].includes(kind)
        ? Number(input.value) : input.value;
    }
    return out;
  }

  // predict tells how long each quality takes.
  predict() {
    const { task, editor: { pic } } = this;
    const by = this.trying ? task.scale : 1; // what is made smaller first
    const { model, method, params, samples } = this.options();
    const query = pic && !this.wrong() && { width: Math.max(1, Math.round(pic.width / by)),
      height: Math.max(1, Math.round(pic.height / by)),
      options: JSON.stringify({ task: task.name, model, method, params, samples }) };
    const key = JSON.stringify(query);
    if (key === this.predicted) return;
    this.predicted = key;
    this.asking?.abort();
    this.asking = new AbortController();
    const { signal } = this.asking;
    const show = (times) => {
      for (const q of qualities) {
        document.querySelector(`[data-time="${q}"]`).textContent = times ? inWords(times[q]) : "";
      }
    };
    clearTimeout(this.timer);
    if (!query) return show(null);
    for (const e of document.querySelectorAll("[data-time]")) e.textContent ||= "…";
    this.timer = setTimeout(async () => {
      try {
        const times = await api.predict(query, signal);
        show(times);
        tell($("speed-error"), "");
      } catch (err) {
        if (err.name === "AbortError") return;
        show(null);
        this.predicted = null;
        tell($("speed-error"), err.message);
      }
    }, 120);
  }

  // options are what the server wants to know.
  options() {
    const { task, part } = this;
    const o = { task: task.name, quality: radio("quality") };
    if (value("model") && value("model") !== this.models[0]?.name) o.model = value("model");
    if (value("method") !== "auto") {
      o.method = value("method");
      const params = this.params();
      if (Object.keys(params).length) o.params = params;
    }
    if (value("seed") !== "") o.seed = number("seed");
    if (number("samples-n") > 1) o.samples = number("samples-n");
    if (part === "noise" && radio("noise") === "set") o.sigma = number("noise-sigma");
    else if (part !== "noise" && value("sigma") !== "") o.sigma = number("sigma");
    if (part === "blur" && radio("blur") === "width") o.kernel_std = number("blur-width");
    if (part === "motion" && radio("motion") === "line") {
      o.motion_length = number("motion-length");
      o.motion_angle = number("motion-angle");
    }
    if (task.needs === "mask" && !$("paste").checked) o.paste = false;
    if (!$("prompt-field").hidden && value("prompt").trim()) o.prompt = value("prompt").trim();
    if (this.trying) o.try = true;
    return o;
  }

  kernelFile() {
    const input = { blur: "blur-file", motion: "motion-file" }[this.part];
    if (!input || this.trying || radio(this.part) !== "file") return null;
    return $(input).files[0] ?? this.kernel;
  }

  // missing is what the user has still to do: the place to say it, and a sentence.
  missing() {
    const { task, editor, part } = this;
    if (!task) return ["kinds-error", "Choose what is wrong with the picture."];
    if (editor.mode === "mask" && editor.mask.empty) {
      return ["mask-error", "Paint over the part that is to be filled, or choose a mask file."];
    }
    if (!$("raw-mask").hidden && !$("raw-mask-file").files[0]) {
      return ["details-error", "Choose a mask file."];
    }
    if (["blur", "motion"].includes(part) && radio(part) === "file" && !this.kernelFile()) {
      return ["details-error", this.trying ? "To try it, the blur is made here: choose another in place of the file."
        : "Choose the file of the blur."];
    }
    const wrong = this.wrong();
    if (!wrong) return null;
    const name = wrong.closest("label").querySelector(".label").textContent;
    return ["advanced-error", `${name}: ${wrong.validationMessage}`];
  }

  // wrong is the first field of "advanced" that has a value that it does not take.
  wrong() {
    return [...document.querySelectorAll("#advanced input")]
      .find((input) => !input.closest("[hidden]") && !input.validity.valid);
  }

  async send() {
    for (const id of ["kinds-error", "mask-error", "details-error", "advanced-error", "picture-error"]) this.told(id);
    this.told("send-error");
    const missing = this.missing();
    if (missing) return this.fail(...missing);
    const button = $("restore");
    button.disabled = true;
    button.textContent = "Sending …";
    try {
      const { mask, mode } = this.editor;
      let file = mode === "mask" && !mask.empty ? await mask.file() : null;
      if (!$("raw-mask").hidden) [file] = $("raw-mask-file").files;
      await this.submit(file, this.kernelFile(), this.options(), (share) => {
        button.textContent = share < 1 ? `Sending … ${Math.floor(100 * share)} %` : "Sending …";
      });
      clearTimeout(this.saving);
      await draft.clear();
    } catch (err) {
      this.failed(err);
    }
    button.disabled = false;
    button.textContent = "Restore";
  }

  // failed shows an error of the server near what caused it, as far as the sentence tells.
  failed(err) {
    const { part } = this, text = err.message;
    if (err.status === 413 || err.status === 415 || /^the picture\b/i.test(text)) {
      return this.fail("picture-error", text);
    }
    if (err.status === 400 && /^[^:]*\bmask\b/i.test(text) && this.editor.mode === "mask") {
      return this.fail("mask-error", text);
    }
    if (err.status === 400 && /kernel|motion|blur/i.test(text) && ["blur", "motion"].includes(part)) {
      return this.fail("details-error", text);
    }
    if (err.status === 400 && /sigma/i.test(text)) {
      return this.fail(part === "noise" ? "details-error" : "advanced-error", text);
    }
    const method = this.methods.find((m) => m.name === value("method"));
    if (err.status === 400 && method?.fields.some((f) => new RegExp(`\\b${f.name}\\b`).test(text))) {
      return this.fail("advanced-error", text);
    }
    const again = err.status === 503 || err.status === 0;
    tell($("send-text"), text);
    if (err.status === 503) {
      const wait = err.retryAfter > 1 ? `${err.retryAfter} s` : "a moment";
      if (!/\bagain\b/.test(text)) $("send-text").textContent += ` Try again in ${wait}.`;
    }
    $("retry").hidden = !again;
    $("send-error").hidden = false;
    $("send-error").focus();
  }

  fail(id, sentence) {
    tell($(id), sentence);
    if (id === "advanced-error") $("advanced").open = true;
    $(id).scrollIntoView({ block: "center" });
    say(sentence);
  }

  // fill sets the form as a job had it.
  fill(o, hadMask, kernel) {
    this.reset();
    const kind = kindOf(this.kinds, o.task);
    if (!kind) return;
    setRadio("kind", kind.id);
    if (kind.part === "scale") setRadio("scale", o.task);
    if (kind.part === "other") $("other-task").value = o.task;
    setRadio("quality", o.quality ?? "good");
    setRadio("missing", o.try ? "try" : hadMask ? "paint" : "black");
    $("try").checked = Boolean(o.try);
    this.kernel = kernel;
    if (kernel) {
      setRadio("blur", "file");
      setRadio("motion", "file");
    }
    if (o.kernel_std) {
      setRadio("blur", "width");
      $("blur-width").value = o.kernel_std;
    }
    if (o.motion_length) {
      $("motion-length").max = String(Math.max(100, o.motion_length));
      $("motion-length").value = o.motion_length;
      $("motion-angle").value = o.motion_angle ?? 0;
    }
    if (o.sigma !== undefined && this.part === "noise") {
      setRadio("noise", "set");
      $("noise-sigma").value = o.sigma;
    } else if (o.sigma !== undefined) $("sigma").value = o.sigma;
    if (this.models.some((m) => m.name === o.model)) $("model").value = o.model;
    if (o.method && o.method !== "auto") $("method").value = o.method;
    this.fillParams(o.params ?? {});
    $("seed").value = o.seed ?? 42;
    $("samples-n").value = o.samples ?? 1;
    $("paste").checked = o.paste !== false;
    $("prompt").value = o.prompt ?? "";
    this.refresh();
  }
}
