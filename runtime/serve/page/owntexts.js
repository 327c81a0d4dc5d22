// What a person wrote, the latest first: searched, pinned, left out, forgotten.

import { get } from "./api.js";
import { button, cut, day, el, find, redraw } from "./dom.js";

const WAIT = 250; // milliseconds after a key before it is looked for
const SHORT = 240; // characters of a text before it is opened

export class OwnTexts {
  constructor(owning) {
    this.owning = owning;
    this.asked = this.waiting = 0;
    this.field = el("input", { type: "search", placeholder: "Search what you wrote", autocomplete: "off", oninput: () => this.soon() });
    this.field.setAttribute("aria-label", "Search own texts");
    this.list = el("div");
  }

  soon() {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.load(), WAIT);
  }

  async load() {
    const view = find("texts-view");
    if (this.owning.person === null) {
      view.replaceChildren(el("p.quiet", {}, "Nobody has no texts."));
      return;
    }
    if (this.shownOf !== this.owning.person) this.field.value = "";
    this.shownOf = this.owning.person;
    if (!this.list.isConnected) view.replaceChildren(el("label.field", {}, this.field), this.list);
    const mine = ++this.asked;
    try {
      const rows = await this.page(null);
      if (mine === this.asked) redraw(this.list, rows.length ? rows : [el("p.quiet", {}, "Nothing holds these words.")]);
    } catch (error) {
      if (mine === this.asked) this.list.replaceChildren(el("p.quiet", {}, error.message));
    }
  }

  async page(before) {
    const query = new URLSearchParams({ q: this.field.value.trim(), ...(before === null ? {} : { before }) });
    const { texts, next } = await get(this.owning.path(`/own-texts?${query}`));
    const rows = texts.map((one) => this.row(one));
    if (next !== null) {
      const more = button("Earlier ones", async () => more.replaceWith(...(await this.page(next))));
      rows.push(more);
    }
    return rows;
  }

  row(one) {
    const tags = [one.pinned && "pinned", one.left_out && "left out", one.adopted && "from an answer, edited"].filter(Boolean);
    const head = el("p.quiet.small", {}, [day(one.time), ...tags].filter(Boolean).join(" · "));
    const title = one.title ? el("b", {}, cut(one.title, 80)) : null;
    const acts = el("div.acts", {}, ...this.acts(one));
    return el(`article.text${one.left_out ? ".out" : ""}`, { "aria-label": cut(one.title || one.text, 60) }, head, title, body(one.text), acts);
  }

  acts(one) {
    const { digest } = one, { owning } = this;
    const pin = one.pinned
      ? button("Unpin", () => owning.takeBack("pin", { digest }))
      : button("Pin", () => owning.change({ kind: "pin", digest }, "Pinned: it stands first among your texts."));
    const out = one.left_out
      ? button("Take in again", () => owning.takeBack("leave_out", { digest }))
      : button("Leave out", () => owning.change({ kind: "leave_out", digest }, "The text is left out."));
    return [...(one.left_out ? [] : [pin]), out, button("Forget", () => owning.erasing.text(one))];
  }
}

/** A long text is cut until somebody wants all of it. */
function body(text) {
  if (text.length <= SHORT) return el("p.said", {}, text);
  const rest = button("All of it", () => said.replaceChildren(text));
  const said = el("p.said", {}, cut(text, SHORT), " ", rest);
  return said;
}
