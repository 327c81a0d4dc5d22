// The conversation: what was said, answers as they come, and what can be done with each.

import { stream } from "./api.js";
import { announce, button, cut, el, find } from "./dom.js";
import { firstRun } from "./first.js";
import { copied, show } from "./markdown.js";
import { makeMine } from "./mine.js";

const TRIES = ["Write to the landlord about the heating.", "Thank a friend for dinner last night.", "Review the last thing you bought."];

/** One conversation. `room` says who answers, keeps what is kept, and is told of answers. */
export class Chat {
  constructor(room) {
    this.room = room;
    this.messages = [];
    this.running = null;
  }

  get log() {
    return find("log");
  }

  /** Show these messages, or the greeting where there are none. */
  open(messages) {
    this.stop();
    this.messages = messages;
    this.log.classList.remove("pair");
    this.log.replaceChildren(...(messages.length ? messages.map((one) => this.turn(one)) : [greeting(this.room)]));
    this.log.scrollTop = messages.length ? this.log.scrollHeight : 0;
  }

  /** Answer what was typed. */
  async say(text, { plain = false } = {}) {
    if (!this.messages.length) this.log.replaceChildren();
    const said = { role: "user", text, as: null };
    this.messages.push(said);
    this.log.append(this.turn(said));
    await this.answer({ plain });
  }

  /** Have the last message answered; with `goesOn` the last answer is gone on with. */
  async answer({ plain = false, goesOn = false, recall = null } = {}) {
    if (this.running) return;
    const as = plain ? null : this.room.person;
    const answer = goesOn ? this.messages.at(-1) : { role: "assistant", text: "", as };
    if (!goesOn) {
      this.messages.push(answer);
      this.log.append(this.turn(answer));
    }
    const { element, body } = answer;
    element.classList.add("waiting");
    element.querySelector(".fault")?.remove();
    body.classList.add("raw");
    body.textContent = answer.text;
    announce(`${as ?? "The model"} answers`);
    await this.receive(answer, this.room.request(this.messages, { as: answer.as, goesOn, recall }));
    element.classList.remove("waiting");
    this.room.answered(answer);
  }

  async receive(answer, request) {
    const control = new AbortController();
    this.running = control;
    this.room.busy(true);
    const start = performance.now();
    let first = null;
    try {
      const told = (text) => {
        first ??= performance.now();
        const low = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 90;
        answer.text += text;
        answer.body.append(text);
        if (low) this.log.scrollTop = this.log.scrollHeight;
      };
      const kept = (where) => this.kept(answer, where);
      const { reason, record } = await stream(request, { told, kept }, control.signal);
      Object.assign(answer, { reason, record });
      announce(answer.text);
    } catch (error) {
      answer.reason = "stopped";
      if (error.name !== "AbortError") answer.fault = error.message;
    }
    const now = performance.now();
    answer.seconds = { first: ((first ?? now) - start) / 1000, whole: (now - start) / 1000 };
    if (this.running === control) {
      this.running = null;
      this.room.busy(false);
    }
    await show(answer.body, answer.text);
    this.acts(answer);
  }

  /** The turn is kept, as these numbers. */
  kept(answer, { conversation, message, answer: number }) {
    this.messages[this.messages.indexOf(answer) - 1].number = message;
    answer.number = number;
    this.room.keptAs(conversation);
  }

  /** End the answer that is being written; what stands of it stays. */
  stop() {
    this.running?.abort();
  }

  turn(one) {
    const mine = one.role === "user";
    const name = mine ? "You" : (one.as ?? "Nobody");
    one.body = el("div.body");
    one.element = el(
      `article.turn.${mine ? "user" : "answer"}`,
      { "aria-label": `${name}: ${cut(one.text, 60)}` },
      el("div.head", {}, mine ? name : el("b", {}, name), one.note ? el("span", {}, one.note) : null),
      one.body,
      el("div.acts"),
    );
    if (mine) one.body.textContent = one.text;
    else if (one.text) show(one.body, one.text);
    this.acts(one);
    return one.element;
  }

  /** What can be done with a message. */
  acts(one) {
    const acts = [button("Copy", () => copied(one.text))];
    if (one.role === "user") acts.push(button("Edit", () => this.edit(one)));
    else if (one.text || one.fault) {
      acts.push(button("Again", () => this.again(one)));
      if (one.as !== null) acts.push(button("As nobody", () => this.again(one, { plain: true })));
      if (one.reason && one.reason !== "stop" && one.text && one === this.messages.at(-1)) {
        acts.push(button("Continue", () => this.answer({ goesOn: true })));
      }
      if (one.record?.receipt) acts.push(button("Why this answer", () => this.room.why(one)));
      if (this.room.person !== null && one.text) {
        acts.push(button("Make this mine", () => makeMine(this.room.person, one.text, () => this.room.persona.reload())));
      }
    }
    this.plainly(one);
    one.element.querySelector(".fault")?.remove();
    if (one.fault) one.element.append(el("p.fault", { role: "alert" }, one.fault));
    one.element.querySelector(".acts").replaceChildren(...(one.role === "user" || one.reason || one.text ? acts : []));
  }

  /** Say so where the person was not recalled, and offer to. */
  plainly(one) {
    one.element.querySelector(".plainly")?.remove();
    const recall = one.record?.receipt?.recall;
    if (!recall || recall.recalled || one.as === null) return;
    const anyway = button(`As ${one.as} anyway`, () => this.again(one, { recall: "always" }));
    one.element.append(el("p.plainly", {}, `Answered plainly: this has nothing to do with how or about what ${one.as} writes. `, anyway));
  }

  /** Drop an answer and all behind it, and answer once more. */
  again(one, how = {}) {
    if (this.running) return;
    this.cut(this.messages.indexOf(one));
    return this.answer(how);
  }

  cut(from) {
    const gone = this.messages.splice(from);
    for (const one of gone) one.element.remove();
    this.room.instead = gone[0]?.number ?? null;
  }

  /** Change what was said; what came behind it goes when it is sent. */
  edit(one) {
    if (this.running) return;
    const field = el("textarea.edit", { value: one.text, rows: Math.min(12, one.text.split("\n").length + 1) });
    field.setAttribute("aria-label", "Change the message");
    const back = () => {
      one.body.hidden = false;
      form.remove();
      this.acts(one);
    };
    const send = () => {
      const text = field.value.trim();
      if (!text) return;
      this.cut(this.messages.indexOf(one));
      this.say(text);
    };
    field.onkeydown = (event) => {
      if (event.key === "Escape") back();
      else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        send();
      }
    };
    const form = el("div", {}, field, el("div.acts", {}, button("Send", send), button("Leave it", back)));
    one.body.hidden = true;
    one.element.querySelector(".acts").replaceChildren();
    one.element.append(form);
    field.focus();
  }

  editLast() {
    const last = this.messages.findLast((one) => one.role === "user");
    if (last) this.edit(last);
  }
}

function greeting(room) {
  const name = room.person;
  if (!room.names.length) return firstRun(room);
  const line = name === null
    ? "Answers are the model's own: nobody's words, nobody's ways."
    : `Answers are written as ${name} would write them, from what ${name} wrote and from what people alike wrote. All of it stays on this machine.`;
  const tries = TRIES.map((text) => el("button", { type: "button", textContent: text, onclick: () => room.suggest(text) }));
  return el("div.hello", {}, el("h2", {}, name === null ? "Nobody in particular." : `In ${name}’s words.`), el("p", {}, line), el("div.tries", {}, ...tries));
}
