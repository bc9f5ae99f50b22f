// A job: the queue, the steps, the result.

import * as api from "./api.js";
import * as chart from "./chart.js";
import { Compare } from "./compare.js";
import { $, asSentence, atTime, el, inWords, pixels, say, tell } from "./dom.js";
import { titleOf } from "./kinds.js";
import { Pic, View } from "./view.js";

const titles = { queued: "Waiting", running: "Restoring …", done: "Restored", cancelled: "Stopped",
  failed: "It did not work" };

// Ways to look at the results: name, left and right picture, and what is to be known of it.
const looks = {
  compare: ["Before and after", "before", "after", ["Before", "After"], ""],
  truth: ["Original and after", "original", "after", ["Original", "After"],
    "The original is what you gave, before it was damaged."],
  sheet: ["Side by side", "", "", [], "Choose one to compare and download."],
  spread: ["Where they differ", "after", "spread", ["After", "Differences"],
    "Bright is where the samples differ most: there the picture is a guess."],
};

export class JobView {
  constructor(kinds, gone) {
    this.kinds = kinds;
    this.gone = gone; // called with an error where the job cannot be had
    this.compare = new Compare(new View($("job-canvas"), () => {}), $("divider"), [$("tag-before"), $("tag-after")]);
    $("cancel").addEventListener("click", () => this.cancel());
    document.addEventListener("keydown", (e) => {
      const typing = e.target.closest("input, select, textarea");
      if (!typing && $("job-canvas").offsetParent && this.compare.view.key(e)) e.preventDefault();
    });
  }

  // open follows a job until close.
  open(id) {
    this.close();
    this.id = id;
    this.job = null;
    this.pics = new Map(); // by name: before, original, preview, spread, result 0 ...
    this.sample = 0;
    this.look = "compare";
    this.compare.share = 0.5;
    this.compare.show(null, null, 1, 1);
    for (const e of ["job-live", "job-done", "job-error", "job-lost", "notes", "looks", "sheet", "strip"]) {
      $(e).hidden = true;
    }
    $("job-stage").hidden = false;
    for (const e of ["job-title", "job-text", "expires", "look-note"]) $(e).textContent = "";
    $("job-facts").hidden = true;
    $("cancel").disabled = false;
    $("progress").value = 0;
    this.quarter = 0;
    this.stop = api.watch(id, {
      job: (job) => this.id === id && this.news(job),
      lost: () => { $("job-lost").hidden = false; },
      gone: (err) => this.id === id && this.gone(err),
    });
  }

  close() {
    this.stop?.();
    this.id = null;
    this.compare.before = this.compare.after = null;
    for (const pic of this.pics?.values() ?? []) pic.then((p) => p?.close());
    this.pics = new Map();
    document.title = "psld";
  }

  // pic fetches a picture once; null where there is none.
  pic(name, what, query) {
    if (!this.pics.has(name)) {
      const { id } = this;
      this.pics.set(name, api.picture(id, what, query).then((blob) => Pic.of(blob)).catch(() => null));
    }
    return this.pics.get(name);
  }

  named(name) {
    switch (name) {
      case "before": return this.pic("before", "measurement").then((p) => p ?? this.named("original"));
      case "original": return this.pic("original", "original");
      case "after": return this.pic(`result ${this.sample}`, "result", { sample: this.sample });
      case "spread": return this.pic("spread", "spread");
      default: return Promise.resolve(null);
    }
  }

  news(job) {
    const before = this.job;
    this.job = job;
    $("job-lost").hidden = true;
    this.text(before);
    this.progress();
    this.curve();
    if (!before || job.results.length !== before.results.length || job.state !== before.state) this.results();
    if (api.ended(job)) {
      if (job.results.length) this.draw();
      else if (!before || before.state !== job.state) this.draw();
    } else if (!before || job.preview !== before.preview) this.preview();
  }

  text(before) {
    const { job } = this, some = job.results.length > 0;
    const done = job.state === "done" ? titleOf(this.kinds, job.options.task) : titles[job.state];
    $("job-title").textContent = done;
    $("job-text").textContent = {
      queued: job.position > 0 ? `${job.position} ${job.position === 1 ? "picture is" : "pictures are"} before yours.`
        : "It starts in a moment.",
      running: "You may close this page: the server goes on, and the picture will be under “earlier pictures”.",
      done: job.options.samples > 1 ? `${job.results.length} samples of ${pixels(job.width, job.height)} pixels.`
        : `${pixels(job.width, job.height)} pixels.`,
      cancelled: some ? "This is the best picture so far." : "There was no picture yet.",
    }[job.state] ?? "";
    tell($("job-error"), job.state === "failed" ? job.error ?? "The server does not say why." : "");
    if (before?.state !== job.state) {
      say(`${done}. ${job.state === "failed" ? asSentence(job.error ?? "") : $("job-text").textContent}`);
    }
    this.facts();
  }

  facts() {
    const { job } = this;
    $("job-facts").hidden = false;
    $("notes").replaceChildren(...(job.notes ?? []).map((n) => el("li", {}, asSentence(n))));
    $("notes").hidden = !job.notes?.length;
    const result = job.results.find((r) => r.sample === this.sample);
    const rows = [["Task", job.options.task], ["Quality", job.options.quality ?? "good"],
      ["Model", job.options.model], ["Size", `${pixels(job.width, job.height)} pixels`], ["Method", job.method],
      ["Seed", result?.seed ?? job.options.seed],
      ["Steps", result && `${result.steps}${result.partial ? ", stopped" : ""}`],
      ["Time", result?.seconds && `${result.seconds.toFixed(1)} s`],
      ["Residual", result?.rms !== undefined && `${result.rms.toPrecision(3)} (rms, black −1, white 1)`],
      ["Prompt", job.options.prompt]];
    $("facts").replaceChildren(...rows.filter(([, v]) => v !== undefined && v !== false && v !== 0)
      .flatMap(([k, v]) => [el("dt", {}, k), el("dd", {}, String(v))]));
    $("expires").textContent = job.expires
      ? `The server removes it by ${atTime(job.expires)}, earlier if it needs the room.` : "";
    $("job-done").hidden = !api.ended(job);
    $("download").hidden = !job.results.length;
    $("again").hidden = job.state === "failed"; // it would fail again
    $("download").href = api.pictureURL(job.id, "result", { sample: this.sample, download: 1 });
  }

  progress() {
    const { job } = this, bar = $("progress");
    $("job-live").hidden = api.ended(job);
    if (api.ended(job)) {
      document.title = `${titles[job.state]} – psld`;
      return;
    }
    const running = job.state === "running";
    if (running && job.steps > 0) bar.value = job.step / job.steps;
    else if (running) bar.removeAttribute("value");
    else bar.value = 0;
    $("progress-steps").textContent = !running ? "" : !job.steps ? "Getting ready …"
      : (job.options.samples > 1 ? `Sample ${job.results.length + 1} of ${job.options.samples}, step ` : "Step ") +
        `${job.step} of ${job.steps}`;
    $("progress-left").textContent = running && job.seconds_left > 0 ? `${inWords(job.seconds_left)} left` : "";
    $("cancel").textContent = running ? "Stop and keep the best so far" : "Cancel";
    const percent = running && job.steps ? Math.floor(100 * job.step / job.steps) : 0;
    document.title = running ? `${percent} % – psld` : "Waiting – psld";
    const quarter = Math.floor(percent / 25);
    if (quarter > this.quarter) say(`${25 * quarter} percent`);
    this.quarter = quarter;
  }

  // curve draws the losses: below the progress, and with the details once it has ended.
  curve() {
    const { job } = this, place = $(api.ended(job) ? "job-details" : "job-live");
    if ($("chart").parentElement !== place) place.append($("chart"));
    $("chart").hidden = !chart.draw($("chart-svg"), job.loss ?? []);
  }

  // preview shows how far it has come; of several that arrive at once, the newest.
  async preview() {
    const { id, job } = this, number = job.preview ?? 0;
    if (this.fetching === id) return;
    this.fetching = id;
    let shown;
    try {
      if (number > 0) {
        const pic = await Pic.of(await api.picture(id, "preview"));
        if (this.id !== id || api.ended(this.job)) return pic.close(); // what is shown is still needed
        shown = number;
        const old = this.pics.get("preview");
        this.pics.set("preview", Promise.resolve(pic));
        this.compare.show(null, pic, job.width, job.height);
        old?.then((p) => p?.close());
      } else {
        shown = 0;
        const pic = await this.named("before");
        if (this.id === id && !api.ended(this.job)) this.compare.show(pic, null, job.width, job.height);
      }
    } catch { /* the next one will come */ } finally {
      this.fetching = null;
    }
    const over = this.id !== id || api.ended(this.job);
    if (!over && shown !== undefined && (this.job.preview ?? 0) !== shown) this.preview();
  }

  // results offers the samples and the ways to look at them.
  results() {
    const { job } = this, n = job.results.length, over = api.ended(job);
    const shown = ["compare", job.options.try && "truth", n > 1 && "sheet", n > 1 && over && "spread"].filter(Boolean);
    $("looks").hidden = !over || !n || shown.length < 2;
    $("looks").replaceChildren(...shown.map((name) => el("button", { type: "button", role: "radio",
      "aria-checked": String(name === this.look), "data-look": name, tabIndex: name === this.look ? 0 : -1,
      onclick: () => this.setLook(name), onkeydown: (e) => {
        const by = { ArrowRight: 1, ArrowLeft: -1 }[e.key];
        if (!by) return;
        const next = shown[(shown.indexOf(name) + by + shown.length) % shown.length];
        this.setLook(next);
        $("looks").querySelector(`[data-look="${next}"]`).focus();
      } }, looks[name][0])));
    const button = (r, size) => el("button", { type: "button", "aria-pressed": String(r.sample === this.sample),
      "aria-label": `Sample ${r.sample + 1}, seed ${r.seed}`, onclick: () => this.choose(r.sample) },
    el("img", { alt: "", src: api.pictureURL(job.id, "result", { sample: r.sample }), ...size }));
    $("strip").hidden = n < 2 || !over;
    $("strip").replaceChildren(...(n > 1 ? job.results.map((r) => el("li", {}, button(r, {}))) : []));
    $("sheet").replaceChildren(...(n > 1 ? job.results.map((r) => el("figure", {},
      button(r, { width: job.width, height: job.height }), el("figcaption", {}, `Seed ${r.seed}`))) : []));
  }

  setLook(look) {
    this.look = look;
    for (const b of $("looks").children) {
      b.setAttribute("aria-checked", String(b.dataset.look === look));
      b.tabIndex = b.dataset.look === look ? 0 : -1;
    }
    this.draw();
  }

  choose(sample) {
    this.sample = sample;
    for (const list of [$("strip"), $("sheet")]) {
      list.querySelectorAll("button").forEach((b, i) => {
        b.setAttribute("aria-pressed", String(this.job.results[i].sample === sample));
      });
    }
    this.facts();
    this.draw();
  }

  // draw shows the pictures of the chosen look.
  async draw() {
    const { id, job, look, sample } = this;
    if (!id) return;
    const [, left, right, names, note] = looks[look];
    const sheet = look === "sheet";
    $("sheet").hidden = !sheet;
    $("job-stage").hidden = sheet;
    $("strip").hidden = sheet || job.results.length < 2;
    $("look-note").textContent = note;
    if (sheet) return;
    const some = job.results.length > 0;
    const [a, b] = await Promise.all([this.named(left), some ? this.named(right) : null]);
    if (this.id !== id || this.look !== look || this.sample !== sample) return;
    this.compare.show(a, b, job.width, job.height, names);
    $("job-canvas").setAttribute("aria-label", a && b ? `${names[0]} and ${names[1].toLowerCase()}` : "The picture");
  }

  async cancel() {
    $("cancel").disabled = true;
    try {
      await api.cancel(this.id);
    } catch (err) {
      tell($("job-error"), err.message);
      $("cancel").disabled = false;
    }
  }
}
