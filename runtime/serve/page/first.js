// What is kept, where, and how it is erased: told once, and whenever somebody asks.

import { ask, el } from "./dom.js";
import { dropZone } from "./importing.js";
import { remember } from "./theme.js";

/** The rows that both the dialog and an empty store show. */
function told(store) {
  const rows = [
    ["What", "What you bring in, what is computed of it, what you change in that, and conversations with “keep” ticked. What you type is a request: nobody's persona learns from it."],
    ["Where", el("span", {}, "In one file on this machine that only you can read: ", el("code", {}, store), ". The page asks nothing of any other machine; the browser keeps who answers and light or dark, and the key to the server goes with the tab.")],
    ["Gone again", el("span", {}, "A text, a facet or a person under ", el("b", {}, "Persona"), ", each with a receipt; or ", el("code", {}, "copersona people forget NAME"), ".")],
  ];
  return el("dl.told", {}, ...rows.flatMap(([name, text]) => [el("dt", {}, name), el("dd", {}, text)]));
}

export async function whatIsKept({ store }) {
  await ask("What is kept", [told(store)], [["Close", "", "strong"]]);
  remember("seen", "1");
}

/** In the place of a greeting, where nobody is here yet. */
export function firstRun(room) {
  remember("seen", "1");
  return el(
    "div.hello.first", {},
    el("h2", {}, "Nobody is here yet."),
    el("p", {}, "Bring in what you wrote, and answers can be in your words. You see what counts as yours before anything is kept. Until then answers are the model's own."),
    dropZone(room.importing),
    told(room.about.store),
  );
}
