// What can be wrong with a picture, in plain words, and which of the server's tasks mend it.

import { capital } from "./dom.js";

// part names the element of the page that asks for more.
const known = [
  { id: "hole", title: "Something covers it", text: "Or it has holes", tasks: ["inpaint"], part: "hole" },
  { id: "small", title: "Too small", text: "Enlarge it", tasks: ["sr4", "sr2", "sr8"], part: "scale" },
  { id: "blurred", title: "Blurred", text: "Soft everywhere", tasks: ["deblur-gaussian"], part: "blur" },
  { id: "shaken", title: "Shaken", text: "Lights are streaks", tasks: ["deblur-motion"], part: "motion" },
  { id: "noisy", title: "Noisy", text: "Grain everywhere", tasks: ["denoise"], part: "noise" },
  { id: "missing", title: "Missing pixels", text: "Black or dead dots", tasks: ["inpaint-random"],
    part: "missing" },
  { id: "grey", title: "Grey", text: "Give it colours", tasks: ["colourise"] },
];

// kindsOf makes the list of what the server can mend. A kind has its tasks as the server describes them; tasks that no
// kind knows are under "other".
export function kindsOf(tasks) {
  const byName = new Map(tasks.map((t) => [t.name, t]));
  const kinds = known.map((k) => ({ ...k, tasks: k.tasks.filter((n) => byName.has(n)).map((n) => byName.get(n)) }))
    .filter((k) => k.tasks.length);
  const taken = new Set(kinds.flatMap((k) => k.tasks.map((t) => t.name)));
  const rest = tasks.filter((t) => !taken.has(t.name));
  if (rest.length) {
    kinds.push({ id: "other", title: "Something else", text: "More kinds of damage", tasks: rest, part: "other" });
  }
  return kinds;
}

export const kindOf = (kinds, task) => kinds.find((k) => k.tasks.some((t) => t.name === task));

// titleOf names a task for people.
export function titleOf(kinds, task) {
  const kind = kindOf(kinds, task);
  if (!kind) return task;
  if (kind.id === "other") return capital(kind.tasks.find((t) => t.name === task).does);
  return { hole: "Holes filled", small: "Enlarged", blurred: "Sharpened", shaken: "Shake removed",
    noisy: "Noise removed", missing: "Missing pixels filled", grey: "Colours added" }[kind.id];
}
