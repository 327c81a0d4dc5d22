// One request, answered by two side by side: two people, or a person and nobody.

import { stream } from "./api.js";
import { announce, button, el, find } from "./dom.js";
import { copied, show } from "./markdown.js";

export class Pair {
  constructor(room) {
    this.room = room;
    this.running = null;
    this.other = null;
  }

  open(names) {
    this.stop();
    const select = el("select", { id: "other", onchange: () => (this.other = select.value || null) });
    select.append(el("option", { value: "", textContent: "nobody" }), ...names.map((name) => el("option", { value: name, textContent: name })));
    select.value = this.other ?? "";
    const intro = el(
      "div.hello", {},
      el("h2", {}, "One request, two answers."),
      el("p", {}, "Both get the same words and the same seed. Nothing here is kept."),
      el("p", {}, el("label.who", {}, el("span", {}, "beside"), select)),
    );
    find("log").classList.add("pair");
    find("log").replaceChildren(intro);
  }

  stop() {
    this.running?.abort();
  }

  async say(text) {
    const control = new AbortController();
    this.running = control;
    this.room.busy(true);
    announce("Two answers are written");
    const seed = Math.floor(Math.random() * 2 ** 31);
    const sides = [this.room.person, this.other].map((as) => this.side(as));
    const asked = el("article.turn.user", {}, el("div.head", {}, "You"), el("div.body", {}, text));
    const row = el("div", {}, asked, el("div.columns", {}, ...sides.map((side) => side.element)));
    find("log").append(row);
    row.scrollIntoView({ block: "start" });
    await Promise.all(sides.map((side) => this.receive(side, text, seed, control.signal)));
    if (this.running === control) this.running = null;
    this.room.busy(false);
    announce(sides.map((side) => `${side.as ?? "Nobody"}: ${side.text}`).join(". "));
  }

  side(as) {
    const body = el("div.body.raw");
    const acts = el("div.acts");
    const element = el("article.turn.answer.waiting", { "aria-label": as ?? "Nobody" }, el("div.head", {}, el("b", {}, as ?? "Nobody")), body, acts);
    return { as, body, acts, element, text: "" };
  }

  async receive(side, text, seed, signal) {
    const start = performance.now();
    let first = null;
    try {
      const request = { ...this.room.request([{ role: "user", text }], { as: side.as, apart: true, recall: "always" }), seed };
      const told = (piece) => {
        first ??= performance.now();
        side.text += piece;
        side.body.append(piece);
      };
      Object.assign(side, await stream(request, { told }, signal));
    } catch (error) {
      if (error.name !== "AbortError") side.element.append(el("p.fault", { role: "alert" }, error.message));
    }
    const now = performance.now();
    side.seconds = { first: ((first ?? now) - start) / 1000, whole: (now - start) / 1000 };
    side.element.classList.remove("waiting");
    side.acts.append(button("Copy", () => copied(side.text)));
    if (side.record?.receipt) side.acts.append(button("Why this answer", () => this.room.why(side)));
    await show(side.body, side.text);
  }
}
