// The server's API, see /api/v1/openapi.yaml.

const base = "/api/v1";

// ApiError is an answer that is none: its message is a sentence for people. status is 0 where there was no answer.
export class ApiError extends Error {
  constructor(status, sentence, retryAfter = 0) {
    super(sentence);
    this.status = status;
    this.retryAfter = retryAfter; // seconds
  }
}

const unreachable = "The server cannot be reached. Is it running?";

// sentenceOf reads the error out of the text of an answer.
function sentenceOf(status, text) {
  try {
    const { error } = JSON.parse(text);
    if (error) return error;
  } catch { /* not the server's own */ }
  return `The server answered with ${status}.`;
}

async function ask(path, init) {
  let answer;
  try {
    answer = await fetch(base + path, init);
  } catch (err) {
    if (err.name === "AbortError") throw err;
    throw new ApiError(0, unreachable);
  }
  if (answer.ok) return answer;
  throw new ApiError(answer.status, sentenceOf(answer.status, await answer.text()),
    Number(answer.headers.get("Retry-After")) || 0);
}

const json = async (path, init) => (await ask(path, init)).json();

export const health = () => json("/health");
export const models = () => json("/models");
export const tasks = () => json("/tasks");
export const methods = () => json("/methods");
export const samples = () => json("/samples");
export const job = (id) => json(`/jobs/${id}`);
export const cancel = (id) => json(`/jobs/${id}/cancel`, { method: "POST" });
export const remove = (id) => ask(`/jobs/${id}`, { method: "DELETE" });
export const predict = (query, signal) => json(`/predict?${new URLSearchParams(query)}`, { signal });

export const pictureURL = (id, what, query = {}) => {
  const q = new URLSearchParams(query).toString();
  return `${base}/jobs/${id}/${what}${q && "?" + q}`;
};

// picture fetches a picture of a job as it is now.
export async function picture(id, what, query = {}) {
  return (await ask(pictureURL(id, what, query).slice(base.length), { cache: "no-store" })).blob();
}

// sampleFile fetches a sample as a file, as if it had been picked.
export async function sampleFile(sample) {
  let answer;
  try {
    answer = await fetch(sample.url);
  } catch {
    throw new ApiError(0, unreachable);
  }
  if (!answer.ok) throw new ApiError(answer.status, sentenceOf(answer.status, await answer.text()));
  const blob = await answer.blob();
  return new File([blob], sample.title, { type: blob.type });
}

// create sends a picture; mask and kernel may be null. sent is told the share that has gone out.
export function create(file, mask, kernel, options, sent = () => {}) {
  const body = new FormData();
  body.append("options", JSON.stringify(options));
  body.append("picture", file, "picture");
  if (mask) body.append("mask", mask, "mask.png");
  if (kernel) body.append("kernel", kernel, "kernel.png");
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // fetch does not tell how much is sent
    request.open("POST", `${base}/jobs`);
    request.upload.onprogress = (e) => e.lengthComputable && sent(e.loaded / e.total);
    request.onerror = () => reject(new ApiError(0, unreachable));
    request.onload = () => {
      if (request.status === 201) return resolve(JSON.parse(request.responseText));
      reject(new ApiError(request.status, sentenceOf(request.status, request.responseText),
        Number(request.getResponseHeader("Retry-After")) || 0));
    };
    request.send(body);
  });
}

export const ended = (job) => !["queued", "running"].includes(job.state);

// watch tells each news of a job until it has ended, over lost connections and restarts of the server: by events, and
// where these do not come, by asking. on: {job(job), lost(), gone(error)}. It returns a function that ends it.
export function watch(id, on) {
  let source, timer, stopped = false, broken = 0, losses = [];

  function news(job) {
    if (stopped) return;
    job.loss = losses = losses.slice(0, job.loss_from ?? 0).concat(job.loss ?? []);
    if (ended(job)) stop();
    on.job(job);
  }

  function listen() {
    let heard = false;
    source = new EventSource(`${base}/jobs/${id}/events`);
    source.addEventListener("job", (e) => {
      heard = true;
      broken = 0;
      news(JSON.parse(e.data));
    });
    source.onerror = () => {
      source.close();
      if (!heard) broken++;
      poll(heard ? 200 : 1000);
    };
  }

  // poll asks once, after a pause; then events get another chance, unless they have failed three times.
  function poll(pause) {
    timer = setTimeout(async () => {
      try {
        news(await job(id));
      } catch (err) {
        if (stopped) return;
        if (err.status && err.status < 500) {
          stop();
          return on.gone(err);
        }
        on.lost();
        return poll(Math.min(2 * pause, 8000));
      }
      if (stopped) return;
      if (broken < 3) listen();
      else poll(2000);
    }, pause);
  }

  function stop() {
    stopped = true;
    source?.close();
    clearTimeout(timer);
  }

  listen();
  return stop;
}
