// The time line of what a person changed, each of which can be undone.

import { get } from "./api.js";
import { button, cut, el, find, redraw } from "./dom.js";

export class Changes {
  constructor(owning) {
    this.owning = owning;
    this.asked = 0;
  }

  async load() {
    const view = find("changes-view"), mine = ++this.asked;
    if (this.owning.person === null) {
      view.replaceChildren(el("p.quiet", {}, "Nobody has nothing to change."));
      return;
    }
    try {
      const rows = await this.page("");
      if (mine !== this.asked) return;
      redraw(view, [
        el("p.quiet", {}, rows.length ? "What you changed in how you are known, the latest first." : "Nothing was changed yet. Correct, pin or leave out under Persona and Texts."),
        el("ol.changes", {}, ...rows),
      ]);
    } catch (error) {
      if (mine === this.asked) view.replaceChildren(el("p.quiet", {}, error.message));
    }
  }

  async page(query) {
    const { revisions, more } = await get(this.owning.path(`/revisions${query}`));
    const rows = revisions.map((one) => this.row(one));
    if (more) {
      const next = el("li", {}, button("Earlier ones", async () => next.replaceWith(...(await this.page(`?before=${revisions.at(-1).number}`)))));
      rows.push(next);
    }
    return rows;
  }

  row(one) {
    const when = el("time", {}, moment(one.time));
    when.dateTime = new Date(one.time * 1000).toISOString();
    const undo = one.kind === "undo" || one.undone ? null : button("Undo", () => this.owning.undo(one.number), { "aria-label": `Undo: ${sentence(one)}` });
    return el(`li${one.undone ? ".undone" : ""}`, {}, when, el("p", {}, sentence(one)), one.undone ? el("span.quiet.small", {}, "undone") : undo);
  }
}

function sentence({ kind, facet, quote, words, digest }) {
  const what = facet ? `“${facet}”` : quote ? `the quote “${cut(quote, 60)}”` : digest ? "a text" : "";
  const done = { correct: `Corrected ${what}: “${cut(words ?? "", 90)}”`, pin: "Pinned a text", leave_out: `Left out ${what}`, undo: `Took back a change of ${what}` };
  return done[kind] ?? kind;
}

function moment(seconds) {
  return new Date(seconds * 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}
