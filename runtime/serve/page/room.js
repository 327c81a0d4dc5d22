// Who answers, what is kept of what is said, and which view is open.

import { get } from "./api.js";
import { Chat } from "./chat.js";
import { Chats } from "./chats.js";
import { el, find } from "./dom.js";
import { Importing } from "./importing.js";
import { Pair } from "./pair.js";
import { choose, openPanel } from "./panel.js";
import { Persona } from "./persona.js";
import { recalled, remember } from "./theme.js";
import { showWhy } from "./why.js";

const touch = matchMedia("(pointer: coarse)");

export class Room {
  constructor() {
    this.person = null;
    this.names = [];
    this.chat = new Chat(this);
    this.chats = new Chats(this);
    this.pair = new Pair(this);
    this.importing = new Importing(this);
    this.persona = new Persona(this);
    this.kept = null; // the id of the conversation that is open, if it is kept
    this.instead = null; // the number of the kept message in whose place the next one stands
    this.comparing = false;
    this.about = null;
  }

  get view() {
    return this.comparing ? this.pair : this.chat;
  }

  /** The body of a request for an answer to these messages; `apart` from any conversation. */
  request(messages, { as, goesOn = false, apart = false, recall = null }) {
    const sent = messages.filter((one) => one.role === "user" || one.text.trim());
    const body = (model, some, more) => ({
      model,
      messages: some.map(({ role, text }) => ({ role, content: text })),
      copersona: { receipt: true, ...(goesOn ? { continue: true } : {}), ...(recall ? { recall } : {}), ...more },
    });
    if (apart || this.person === null || !find("keep").checked) {
      return body(as === null ? "copersona-plain" : `copersona:${as}`, sent);
    }
    const last = sent.findLastIndex((one) => one.role === "user");
    const from = sent[last].number ?? this.instead;
    const where = { conversation: this.kept ?? "new", persona: as !== null, ...(this.kept && from ? { from } : {}) };
    return body(`copersona:${this.person}`, sent.slice(last), where);
  }

  keptAs(id) {
    this.instead = null;
    this.kept = id;
  }

  answered() {
    if (this.person !== null) this.chats.load();
  }

  reopen(id, messages) {
    this.comparing = false;
    find("compare").setAttribute("aria-pressed", "false");
    this.chat.open(messages);
    this.kept = id;
    this.instead = null;
    find("keep").checked = true;
    find("keep").disabled = true;
    this.openRail(false);
    find("say").focus();
  }

  openRail(yes) {
    document.body.classList.toggle("rail-open", yes);
    find("open-rail").setAttribute("aria-expanded", String(yes));
  }

  busy(yes) {
    const send = find("send");
    send.textContent = yes ? "Stop" : "Send";
    send.classList.toggle("stop", yes);
    find("hint").textContent = yes ? "Esc stops" : touch.matches ? "" : "Enter sends, Shift Enter breaks the line";
  }

  notice(text) {
    find("notice").textContent = text;
    find("notice").hidden = !text;
  }

  why(answer) {
    showWhy(answer);
    openPanel(true);
    choose("why");
    find("tab-why").focus();
  }

  suggest(text) {
    const field = find("say");
    field.value = text;
    field.dispatchEvent(new Event("input"));
    field.focus();
  }

  /** Who answers from now on. */
  become(person) {
    this.person = person;
    remember("person", person ?? "");
    find("person").value = person ?? "";
    this.fresh();
    this.chats.load();
    this.persona.show(person);
  }

  /** Begin anew; whether it is kept can be chosen until something is said. */
  fresh() {
    this.kept = this.instead = null;
    find("keep").disabled = this.person === null || this.comparing;
    this.chats.mark();
    if (this.comparing) this.pair.open(this.names);
    else this.chat.open([]);
  }

  /** Everyone who is here; from now on `person` answers, or who did. */
  async load(person = null) {
    this.about = await get("/copersona/v1");
    this.names = [];
    for (let after = ""; ; ) {
      const { people, more } = await get(`/copersona/v1/people?after=${encodeURIComponent(after)}`);
      this.names.push(...people.map((one) => one.name));
      if (!more || this.names.length >= 2000) break;
      after = this.names.at(-1);
    }
    const option = (value, textContent) => el("option", { value, textContent });
    find("person").replaceChildren(...this.names.map((name) => option(name, name)), option("", "nobody"));
    const known = person ?? recalled("person");
    const first = this.names.length ? this.names[0] : null;
    this.become(known !== null && (known === "" || this.names.includes(known)) ? known || null : first);
  }
}
