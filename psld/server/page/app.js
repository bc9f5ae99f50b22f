// The page: which of its views is seen, and how a picture gets from one to the next.

import * as api from "./api.js";
import { $, asSentence, capital, el, icon, say, tell } from "./dom.js";
import * as draft from "./draft.js";
import { Editor } from "./editor.js";
import * as history from "./history.js";
import { JobView } from "./job.js";
import { kindsOf, kindOf } from "./kinds.js";
import { Options } from "./options.js";

const views = ["token-view", "start-view", "edit-view", "job-view"];
const sent = new Map(); // by id: the files of the jobs that this page has sent
let editor, options, jobView, kinds = [];

function show(view, title) {
  for (const v of views) $(v).hidden = v !== view;
  $("new-picture").hidden = view === "start-view" || view === "token-view";
  tell($("page-error"), "");
  window.scrollTo(0, 0);
  if (show.moved) $(title).focus({ preventScroll: true }); // not as the page opens
  show.moved = true;
}

// route shows what the address names: #job=ID, #edit, or the start.
async function route() {
  const id = /^#job=([a-z2-7]{26})$/.exec(location.hash)?.[1];
  if (id) {
    show("job-view", "job-title");
    return jobView.open(id);
  }
  jobView.close();
  if (location.hash === "#edit" && editor.file) {
    show("edit-view", "edit-title");
    return options.refresh();
  }
  if (location.hash) window.history.replaceState(null, "", location.pathname);
  show("start-view", "start-title");
  await history.show(kinds);
}

const go = (hash) => { location.hash === hash ? route() : location.hash = hash; };

// start shows the start page with a sentence on what went wrong.
function start(sentence) {
  window.history.pushState(null, "", location.pathname);
  return route().then(() => tell($("page-error"), sentence));
}

// openFile begins with a picture.
async function openFile(file, sample) {
  tell($("start-error"), "");
  if (file.size === 0) return tell($("start-error"), "This file is empty.");
  if (file.type && !file.type.startsWith("image/")) {
    return tell($("start-error"), `“${file.name}” is no picture: PNG, JPEG, WebP, TIFF, BMP or GIF is wanted.`);
  }
  await editor.open(file);
  draft.saveFile(file);
  options.reset();
  if (sample) options.fill(sample.options, false, null);
  options.save();
  go("#edit");
  say(`${file.name} is open. ${sample ? "" : "Choose what is wrong with it."}`);
}

// resume goes on with what this tab was preparing when it was closed or loaded anew.
async function resume() {
  const { file, work } = await draft.load() ?? {};
  if (!file) return;
  await editor.open(file, work?.steps);
  options.reset();
  if (work?.options) options.fill(work.options, work.painted, work.kernel);
}

async function submit(mask, kernel, o, progress) {
  await send({ file: editor.file, mask, kernel }, o, progress);
}

async function send(files, o, progress) {
  const job = await api.create(files.file, files.mask, files.kernel, o, progress);
  sent.set(job.id, files);
  history.add({ id: job.id, task: o.task, mask: Boolean(files.mask), kernel: Boolean(files.kernel) });
  go(`#job=${job.id}`);
}

// filesOf are the files of a job, from this page's memory or else from the server, which does not give kernels.
async function filesOf(job) {
  if (sent.has(job.id)) return sent.get(job.id);
  const entry = history.entry(job.id);
  const blob = await api.picture(job.id, "original");
  const file = new File([blob], capital(kindOf(kinds, job.options.task)?.title ?? "Picture"), { type: blob.type });
  let mask = null;
  if (!job.options.try && (entry?.mask ?? job.options.task === "inpaint")) {
    try {
      mask = await api.picture(job.id, "mask");
    } catch (err) {
      if (err.status !== 404) throw err;
    }
  }
  return { file, mask, kernel: null, lostKernel: Boolean(entry?.kernel) };
}

// withJob does something with the finished job, and shows what goes wrong below the buttons.
async function withJob(button, act) {
  button.disabled = true;
  $("again-error").hidden = true;
  try {
    await act(jobView.job);
  } catch (err) {
    tell($("again-error"), err.message);
    if (err.status === 503 || err.status === 0) {
      $("again-error").append(el("br"), el("button", { type: "button", onclick: () => button.click() }, "Try again"));
    }
    $("again-error").focus();
  }
  button.disabled = false;
}

const again = (button) => withJob(button, async (job) => {
  const files = await filesOf(job);
  if (files.lostKernel) {
    throw new Error("The file of the blur is not kept: press “Change something” and choose it again.");
  }
  await send(files, { ...job.options, seed: Math.floor(Math.random() * 1e6) });
});

const change = (button) => withJob(button, async (job) => {
  const files = await filesOf(job);
  if (editor.file !== files.file) {
    await editor.open(files.file);
    if (files.mask && editor.mask) await editor.loadMask(files.mask);
  }
  options.fill(job.options, Boolean(files.mask), files.kernel);
  draft.saveFile(editor.file).then(() => options.save());
  go("#edit");
});

// ask has the user confirm.
function ask(sentence, yes) {
  const dialog = $("ask");
  $("ask-text").textContent = sentence;
  $("ask-yes").textContent = yes;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    $("ask-yes").onclick = () => dialog.close("yes");
    $("ask-no").onclick = () => dialog.close("");
    dialog.onclose = () => resolve(dialog.returnValue === "yes");
  });
}

async function removeJob() {
  const { id } = jobView;
  if (!await ask("Remove this picture and its result from the server?", "Remove")) return;
  try {
    await api.remove(id);
  } catch (err) {
    if (err.status !== 404) return tell($("job-error"), err.message);
  }
  history.drop(id);
  go("");
}

async function forgetAll() {
  if (!await ask("Remove all your earlier pictures from this list and from the server?", "Remove all")) return;
  try {
    await history.forget();
  } catch (err) {
    tell($("page-error"), err.message);
  }
  await history.show(kinds);
}

function showSamples(samples) {
  const able = samples.filter((s) => kindOf(kinds, s.options.task));
  $("samples").hidden = !able.length;
  $("sample-list").replaceChildren(...able.map((s) => el("li", {}, el("button", { type: "button", className: "card",
    onclick: async () => {
      try {
        await openFile(await api.sampleFile(s), s);
      } catch (err) {
        tell($("start-error"), err.message);
      }
    } },
  el("span", { className: "card-picture" }, el("img", { src: s.url, alt: "", decoding: "async" })),
  el("span", { className: "card-text" }, el("strong", {}, s.title),
    el("span", { className: "small muted" }, kindOf(kinds, s.options.task).cure))))));
}

// Colours: as the system, light, dark.
const themes = ["auto", "light", "dark"];
const themeNames = { auto: "as the system", light: "light", dark: "dark" };

function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  $("theme").replaceChildren(icon({ auto: "auto", light: "sun", dark: "moon" }[theme]));
  $("theme").setAttribute("aria-label", `Colours: ${themeNames[theme]}`);
  $("theme").title = `Colours: ${themeNames[theme]}`;
}

function nextTheme() {
  const now = document.documentElement.dataset.theme ?? "auto";
  const next = themes[(themes.indexOf(now) + 1) % themes.length];
  try {
    localStorage.setItem("psld.theme", next); // theme.js reads it
  } catch { /* not kept */ }
  setTheme(next);
}

const pictureOf = (data) => [...(data?.files ?? [])].find((f) => f.type.startsWith("image/")) ?? data?.files?.[0];

function listen() {
  $("theme").addEventListener("click", nextTheme);
  $("token-form").addEventListener("submit", (e) => {
    e.preventDefault();
    location.assign(`/?${new URLSearchParams({ token: $("token").value.trim() })}`);
  });
  if (!editor) return;
  $("home").addEventListener("click", (e) => {
    e.preventDefault();
    go("");
  });
  $("new-picture").addEventListener("click", () => go(""));
  $("pick").addEventListener("change", (e) => {
    const [file] = e.target.files;
    e.target.value = "";
    if (file) openFile(file);
  });
  $("forget").addEventListener("click", forgetAll);
  $("remove").addEventListener("click", removeJob);
  $("again").addEventListener("click", (e) => again(e.currentTarget));
  $("change").addEventListener("click", (e) => change(e.currentTarget));
  window.addEventListener("hashchange", route);
  document.addEventListener("paste", (e) => {
    const file = pictureOf(e.clipboardData);
    if (!file) return;
    e.preventDefault();
    openFile(new File([file], "Pasted picture", { type: file.type }));
  });
  // A picture may be dropped anywhere.
  let inside = 0;
  const over = (on) => { $("drop-over").hidden = !on; };
  const files = (e) => [...(e.dataTransfer?.types ?? [])].includes("Files");
  document.addEventListener("dragenter", (e) => files(e) && (inside++, over(true)));
  document.addEventListener("dragleave", (e) => files(e) && --inside <= 0 && (inside = 0, over(false)));
  document.addEventListener("dragover", (e) => files(e) && e.preventDefault());
  document.addEventListener("drop", (e) => {
    if (!files(e)) return;
    e.preventDefault();
    inside = 0;
    over(false);
    const file = pictureOf(e.dataTransfer);
    if (file) openFile(file);
  });
}

async function main() {
  setTheme(document.documentElement.dataset.theme ?? "auto");
  try {
    const [tasks, models, methods] = await Promise.all([api.tasks(), api.models(), api.methods()]);
    kinds = kindsOf(tasks);
    editor = new Editor();
    options = new Options(editor, { tasks, models, methods }, submit);
    jobView = new JobView(kinds, (err) => {
      if (err.status === 404) history.drop(jobView.id);
      start(err.status === 404 ? "This picture is no longer on the server." : asSentence(err.message));
    });
  } catch (err) {
    listen();
    if (err.status === 401) {
      show("token-view", "token-title");
      return $("token").focus();
    }
    console.error(err);
    tell($("page-error"), err.message);
    $("page-error").append(el("br"), el("button", { type: "button", onclick: () => location.reload() }, "Try again"));
    return;
  }
  listen();
  if (location.hash === "#edit") await resume();
  await route();
  draft.sweep();
  api.samples().then(showSamples).catch((err) => tell($("start-error"), err.message));
  api.health().then((h) => { $("version").textContent = `psld ${h.version}`; }).catch(() => {});
}

main();
