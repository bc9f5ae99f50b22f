// What can be wrong with a picture, in plain words, and which of the server's tasks mend it.

import { capital } from "./dom.js";

// title stands under the small picture, text says how such a damage looks, cure what is done about it, and done that
// it was done; part names the element of the page that asks for more.
const known = [
  { id: "hole", title: "Hole, scratch", text: "Something covers a part of it, or is to go.", cure: "Fill it in",
    done: "Holes filled", tasks: ["inpaint"], part: "hole" },
  { id: "small", title: "Too small", text: "It has too few pixels.", cure: "Enlarge it",
    done: "Enlarged", tasks: ["sr4", "sr2", "sr8"], part: "scale" },
  { id: "blurred", title: "Blurred", text: "It is soft everywhere, as out of focus.", cure: "Sharpen it",
    done: "Sharpened", tasks: ["deblur-gaussian"], part: "blur" },
  { id: "shaken", title: "Shaken", text: "The camera moved: points of light are streaks.", cure: "Take out the shake",
    done: "Shake removed", tasks: ["deblur-motion"], part: "motion" },
  { id: "noisy", title: "Noisy", text: "There is grain everywhere, as at high ISO.", cure: "Take out the noise",
    done: "Noise removed", tasks: ["denoise"], part: "noise" },
  { id: "missing", title: "Pixels lost", text: "Single pixels are black, transparent or dead.", cure: "Fill in the rest",
    done: "Missing pixels filled", tasks: ["inpaint-random"], part: "missing" },
  { id: "grey", title: "Grey", text: "It has no colours.", cure: "Give it colours", done: "Colours added",
    tasks: ["colourise"] },
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
    kinds.push({ id: "other", title: "Other", text: "More kinds of damage.", tasks: rest, part: "other" });
  }
  return kinds;
}

export const kindOf = (kinds, task) => kinds.find((k) => k.tasks.some((t) => t.name === task));

// titleOf names a task for people.
export function titleOf(kinds, task) {
  const kind = kindOf(kinds, task);
  if (!kind) return task;
  if (kind.id === "other") return capital(kind.tasks.find((t) => t.name === task).does);
  return kind.done;
}
