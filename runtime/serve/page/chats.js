// Kept conversations of the person who answers: listed, searched, opened, renamed, exported, imported, deleted.

import { change, get, post, save } from "./api.js";
import { announce, ask, button, count, day, el, find } from "./dom.js";

const PATH = "/copersona/v1/conversations";
const LONGEST_TITLE = 200;

export class Chats {
  constructor(room) {
    this.room = room;
    this.asked = 0;
  }

  get list() {
    return find("chats");
  }

  query(more = {}) {
    return `?${new URLSearchParams({ person: this.room.person, ...more })}`;
  }

  /** List what is kept, or what holds the words that are looked for. */
  async load() {
    const mine = ++this.asked;
    if (this.room.person === null) {
      this.list.replaceChildren(el("li.quiet.small", {}, "Conversations with nobody are not kept."));
      return;
    }
    const words = find("search").value.trim();
    try {
      const rows = words ? await this.found(words) : await this.all();
      if (mine === this.asked) this.list.replaceChildren(...(rows.length ? rows : [el("li.quiet.small", {}, words ? "Nothing holds these words." : "No conversations yet.")]));
    } catch (error) {
      if (mine === this.asked) this.list.replaceChildren(el("li.quiet.small", {}, error.message));
    }
  }

  async all(before) {
    const { data, has_more: more } = await get(PATH + this.query(before ? { before } : {}));
    const rows = data.map((one) => this.row(one, day(one.changed)));
    if (more) {
      const next = el("li", {}, button("Earlier ones", async () => next.replaceWith(...(await this.all(data.at(-1).id)))));
      rows.push(next);
    }
    return rows;
  }

  async found(words) {
    const { data } = await get(`${PATH}/search${this.query({ q: words })}`);
    return data.map((one) => this.row({ id: one.conversation, title: one.title }, one.piece));
  }

  row({ id, title }, below) {
    const open = el("button.open", { type: "button", onclick: () => this.open(id) }, el("span.title", {}, title), el("span.sub", {}, below));
    const more = button("⋯", () => this.more(id, title), { title: "Rename, export, delete" });
    more.classList.add("more");
    more.setAttribute("aria-label", `Rename, export or delete ${title}`);
    return el(id === this.room.kept ? "li.here" : "li", { "data-id": id }, open, more);
  }

  /** Mark the one that is open. */
  mark() {
    for (const row of this.list.children) row.classList.toggle("here", row.dataset.id === this.room.kept);
  }

  async open(id) {
    const found = await get(`${PATH}/${encodeURIComponent(id)}${this.query()}`);
    this.room.reopen(id, found.messages.map((one) => this.message(one)));
    this.mark();
  }

  message({ role, text, number, state, persona, receipt, time }) {
    const as = role === "user" || !persona ? null : this.room.person;
    const record = receipt === null ? {} : { receipt };
    return { role, text, number, as, record, reason: state === "whole" ? "stop" : "stopped", note: day(time) };
  }

  async more(id, title) {
    const field = el("input", { type: "text", value: title, maxLength: LONGEST_TITLE });
    field.setAttribute("aria-label", "Title");
    const chosen = await ask("This conversation", [field], [
      ["Delete", "delete", "danger"], ["As Markdown", "markdown"], ["As JSON", "json"], ["Rename", "rename", "strong"],
    ]);
    const path = `${PATH}/${encodeURIComponent(id)}${this.query()}`;
    if (chosen === "rename" && field.value.trim()) await change("PATCH", path, { title: field.value.trim() });
    else if (chosen === "delete") await this.remove(id, path);
    else if (chosen) await this.save(chosen, { id });
    if (chosen === "rename" || chosen === "delete") this.load();
  }

  async remove(id, path) {
    const { pending } = await change("DELETE", path, {});
    announce(pending ? "Deleted; the file is rewritten when there is room" : "Deleted");
    if (id === this.room.kept) this.room.fresh();
  }

  /** All conversations of the person, or one, as a file of the browser's. */
  async save(format, which = {}) {
    await save(`${PATH}/export${this.query({ format, ...which })}`, `conversations.${format === "json" ? "json" : "md"}`);
  }

  /** Take in an export, or give one of all. */
  async carry() {
    if (this.room.person === null) return;
    const field = el("input", { type: "file", accept: ".json,application/json", id: "file" });
    const chosen = await ask(`Conversations of ${this.room.person}`, [
      el("p", {}, "An export as JSON can be taken in again, here or on another machine, without loss."),
      el("label", {}, "Take in ", field),
    ], [["Close", ""], ["All as Markdown", "markdown"], ["All as JSON", "json"], ["Take in", "take", "strong"]]);
    if (chosen === "take" && field.files.length) await this.take(field.files[0]);
    else if (chosen && chosen !== "take") await this.save(chosen);
  }

  async take(file) {
    let body;
    try {
      body = JSON.parse(await file.text());
    } catch {
      this.room.notice(`${file.name} is no JSON; take an export of this page`);
      return;
    }
    const { new: taken, known } = await post(`${PATH}/import${this.query()}`, body);
    this.room.notice(`${count(taken, "conversation")} taken in, ${known} were here already`);
    this.load();
  }
}
