// The jobs of this browser. Their identifiers are kept here, the pictures on the server.

import * as api from "./api.js";
import { $, atTime, capital, el, store } from "./dom.js";
import { titleOf } from "./kinds.js";

const key = "psld.jobs";
const most = 60;

// An entry is {id, task, mask, kernel}: the last two tell that such files were sent.
export const all = () => store.get(key, []).filter((e) => typeof e?.id === "string");
export const entry = (id) => all().find((e) => e.id === id);
export const add = (e) => store.set(key, [e, ...all().filter((o) => o.id !== e.id)].slice(0, most));
export const drop = (id) => store.set(key, all().filter((e) => e.id !== id));

// forget removes all jobs from the server, and from here those that are gone.
export async function forget() {
  for (const { id } of all()) {
    try {
      await api.remove(id);
    } catch (err) {
      if (err.status !== 404) throw err;
    }
    drop(id);
  }
}

const states = { queued: "Waiting", running: "Under way", cancelled: "Stopped", failed: "Did not work" };

// show draws the list as the server knows it; jobs that it has removed vanish.
export async function show(kinds) {
  const jobs = (await Promise.all(all().map(async ({ id }) => {
    try {
      return await api.job(id);
    } catch (err) {
      if (err.status === 404) drop(id);
      return null;
    }
  }))).filter(Boolean);
  $("history").hidden = !jobs.length;
  const ends = jobs.map((j) => j.expires).filter(Boolean).sort();
  $("history-note").textContent = ends.length
    ? `The server removes old pictures by itself, the next one by ${atTime(ends[0])}.` : "";
  $("history-list").replaceChildren(...jobs.map((job) => {
    const image = el("img", { alt: "", loading: "lazy", decoding: "async",
      src: api.pictureURL(job.id, job.results.length ? "result" : "original") });
    image.addEventListener("error", () => { image.hidden = true; });
    return el("li", {}, el("a", { className: "card", href: `#job=${job.id}` },
      el("span", { className: "card-picture" }, image),
      el("span", { className: "card-text" }, el("strong", {}, capital(titleOf(kinds, job.options.task))),
        el("span", { className: "small muted" }, states[job.state] ?? atTime(job.finished ?? job.created)))));
  }));
}
