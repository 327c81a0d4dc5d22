// Forgetting for good, with a receipt; and a person taken out as a file and put back.

import { change, personPath, post, save } from "./api.js";
import { ask, count, cut, el } from "./dom.js";
import { toast } from "./toast.js";

const NAMES = { chats: "conversations", receipts: "records of answers, cleaned of it", revisions: "changes", vectors: "vectors of texts" };

export class Erasing {
  constructor(room, owning) {
    this.room = room;
    this.owning = owning;
  }

  async text({ digest, title, text }) {
    const goes = "The text itself, quotes from it, and everything that was computed with it. How you are known is made anew from the rest.";
    const gone = await this.forget(`Forget this text?`, [el("blockquote", {}, cut(title || text, 160)), el("p", {}, goes)], `/texts/${encodeURIComponent(digest)}`);
    if (gone) await this.owning.changed();
  }

  async facet(name) {
    const goes = `What is known of “${name}”, your words for it, its quotes, and everything that was computed with it. It stays left out; Undo under Changes has it measured anew. Your texts stay.`;
    const gone = await this.forget(`Forget “${name}”?`, [el("p", {}, goes)], `/facets/${encodeURIComponent(name)}`);
    if (gone) await this.owning.changed();
  }

  async person(texts) {
    const { person } = this.owning;
    const goes = `${count(texts, "text")}, all facets, changes and kept conversations, and everything that was computed of them. No other copy is here; an export can be taken before.`;
    const gone = await this.forget(`Forget ${person}?`, [el("p", {}, goes)], "");
    if (gone) await this.room.load();
  }

  /** Ask, erase, and show what went and how it can be checked. */
  async forget(title, body, rest) {
    const last = el("p", {}, el("b", {}, "This cannot be undone."));
    if ((await ask(title, [...body, last], [["Leave it", ""], ["Forget", "forget", "danger"]])) !== "forget") return false;
    await ask("Forgotten", drawnReceipt(await change("DELETE", this.owning.path(rest), {})), [["Close", "", "strong"]]);
    return true;
  }

  export() {
    const { person } = this.owning;
    return save(personPath(person, "/export"), `${person}.copersona.json`);
  }

  async restore() {
    const field = el("input", { type: "file" });
    const chosen = await ask("Restore a person", [
      el("p", {}, "The file that Export gave, here or on another machine: texts, changes and conversations come back without loss."),
      el("label", {}, "File ", field),
    ], [["Leave it", ""], ["Restore", "restore", "strong"]]);
    if (chosen !== "restore" || !field.files.length) return;
    const file = new Blob([field.files[0]], { type: "application/json" });
    const { person } = await post(personPath("restore"), file);
    await this.room.load(person);
    toast(`${person} is here again.`);
  }
}

/** What is gone, what is not ours to remove, and how all of it can be checked. */
function drawnReceipt({ removed, check, elsewhere, pending, left, outputs }) {
  const rows = Object.entries(removed).flatMap(([name, number]) => [el("dt", {}, NAMES[name] ?? name), el("dd", {}, number.toLocaleString())]);
  const stays = [
    elsewhere ? `The same words stand in ${count(elsewhere, "other text or message", "other texts or messages")} of yours, which stay.` : "",
    pending ? "The file is rewritten when it is next opened; until then removed bytes are overwritten with zeros." : "",
    ...left.map((line) => `Left alone: ${line}`),
    ...outputs.map((path) => `Yours to delete, written by generate: ${path}`),
  ];
  return [
    el("p", {}, "Removed from this machine, down to the bytes:"),
    el("dl.key", {}, ...rows),
    ...stays.filter(Boolean).map((line) => el("p", {}, line)),
    el("p", {}, "To look for words of it, down to the bytes: ", el("code", {}, check)),
  ];
}
