// What is being prepared, kept in this browser over a reload: the picture, what was painted, the form. Each tab has
// its own; it goes when the picture is sent, when another one is opened, and after a day.

const day = 24 * 3600 * 1000;

// tab names this tab, over reloads.
function tab() {
  let id = sessionStorage.getItem("psld.tab");
  if (!id) sessionStorage.setItem("psld.tab", id = crypto.getRandomValues(new Uint32Array(2)).join("-"));
  return id;
}

// store runs f on the store of the browser's database, and returns the result of the request that f makes. Where there
// is none, as in some private windows, it returns undefined.
async function store(mode, f) {
  try {
    const db = await new Promise((resolve, reject) => {
      const open = indexedDB.open("psld", 1);
      open.onupgradeneeded = () => open.result.createObjectStore("drafts");
      open.onsuccess = () => resolve(open.result);
      open.onerror = () => reject(open.error);
    });
    try {
      const done = db.transaction("drafts", mode);
      const request = f(done.objectStore("drafts"));
      return await new Promise((resolve, reject) => {
        done.oncomplete = () => resolve(request?.result);
        done.onerror = done.onabort = () => reject(done.error);
      });
    } finally {
      db.close();
    }
  } catch {
    return undefined;
  }
}

const put = (name, value) => store("readwrite", (s) => s.put({ time: Date.now(), value }, `${tab()} ${name}`));
const get = async (name) => (await store("readonly", (s) => s.get(`${tab()} ${name}`)))?.value;

// A draft is {file, work}: the picture, and {steps, options, kernel} as of Mask.steps and the form.
export const saveFile = async (file) => {
  await clear();
  await put("file", { blob: file, name: file.name });
};
export const saveWork = (work) => put("work", work);
export const clear = () => store("readwrite", (s) => {
  s.delete(`${tab()} work`);
  return s.delete(`${tab()} file`);
});

export async function load() {
  const file = await get("file");
  if (!file) return null;
  return { file: new File([file.blob], file.name, { type: file.blob.type }), work: await get("work") };
}

// sweep removes what tabs that are long gone have left.
export const sweep = () => store("readwrite", (s) => {
  s.openCursor().onsuccess = (e) => {
    const cursor = e.target.result;
    if (!cursor) return;
    if (Date.now() - cursor.value.time > day) cursor.delete();
    cursor.continue();
  };
});
