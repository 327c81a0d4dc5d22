// The page: who answers, what is kept, and which view is open.

import { Refused, get, setToken, takeToken } from "./api.js";
import { Chat } from "./chat.js";
import { Chats } from "./chats.js";
import { announce, ask, el, find } from "./dom.js";
import { Pair } from "./pair.js";
import { showPersona } from "./persona.js";
import { showWhy } from "./why.js";

const narrow = matchMedia("(max-width: 60rem)");
const touch = matchMedia("(pointer: coarse)");

class Room {
  constructor() {
    this.person = null;
    this.names = [];
    this.chat = new Chat(this);
    this.chats = new Chats(this);
    this.pair = new Pair(this);
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
    if (this.kept === id) return;
    this.kept = id;
    this.chats.load();
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
    openRail(false);
    find("say").focus();
  }

  busy(yes) {
    const send = find("send");
    send.textContent = yes ? "Stop" : "Send";
    send.classList.toggle("stop", yes);
    find("hint").textContent = yes ? "Esc stops" : touch.matches ? "" : "Enter sends, Shift Enter breaks the line";
  }

  notice(text) {
    notice(text);
  }

  why(answer) {
    showWhy(answer);
    openPanel(true);
    choose("why");
    find("tab-why").focus();
  }

  suggest(text) {
    find("say").value = text;
    grow();
    find("say").focus();
  }

  /** Who answers from now on. */
  become(person) {
    this.person = person;
    remember("person", person ?? "");
    find("person").value = person ?? "";
    this.fresh();
    this.chats.load();
    showPersona(person);
  }

  /** Begin anew; whether it is kept can be chosen until something is said. */
  fresh() {
    this.kept = this.instead = null;
    find("keep").disabled = this.person === null || this.comparing;
    this.chats.mark();
    if (this.comparing) this.pair.open(this.names);
    else this.chat.open([]);
  }

  async load() {
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
    const known = recalled("person");
    const first = this.names.length ? this.names[0] : null;
    this.become(known !== null && (known === "" || this.names.includes(known)) ? known || null : first);
  }
}

const room = new Room();

let searching = 0;

// The composer

function grow() {
  const field = find("say");
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight}px`;
}

async function send() {
  if (room.view.running) {
    room.view.stop();
    return;
  }
  const field = find("say");
  const text = field.value.trim();
  if (!text) return;
  field.value = "";
  grow();
  notice("");
  find("keep").disabled = true;
  const plain = find("plain").checked;
  find("plain").checked = false;
  await room.view.say(text, { plain });
}

function keys(event) {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing && !touch.matches) {
    event.preventDefault();
    send();
  } else if (event.key === "ArrowUp" && !event.target.value && !room.comparing) {
    event.preventDefault();
    room.chat.editLast();
  }
}

function notice(text) {
  find("notice").textContent = text;
  find("notice").hidden = !text;
}

// Panels

function openPanel(yes) {
  document.body.classList.toggle("no-panel", !yes);
  find("open-panel").setAttribute("aria-expanded", String(yes));
}

function openRail(yes) {
  document.body.classList.toggle("rail-open", yes);
  find("open-rail").setAttribute("aria-expanded", String(yes));
}

function choose(name) {
  for (const one of ["persona", "why"]) {
    const here = one === name;
    find(`${one}-view`).hidden = !here;
    find(`tab-${one}`).setAttribute("aria-selected", String(here));
    find(`tab-${one}`).tabIndex = here ? 0 : -1;
  }
}

// Light and dark

function paint(theme) {
  document.documentElement.dataset.theme = theme;
  find("theme").textContent = theme === "dark" ? "Light" : "Dark";
}

function remember(name, value) {
  localStorage.setItem(`copersona.${name}`, value);
}

const recalled = (name) => localStorage.getItem(`copersona.${name}`);

async function whatIsKept() {
  const { store, people } = room.about;
  await ask("What is kept, and where", [
    el("p", {}, "Everything is on this machine, in one file that only you can read: ", el("code", {}, store), "."),
    el("p", {}, `It holds what ${people === 1 ? "one person" : `${people} people`} wrote, what was made of it, and conversations with “keep” ticked. What you type here is a request: nobody's persona learns from it.`),
    el("p", {}, "To erase a person with everything that was made of them: ", el("code", {}, "copersona people forget NAME"), "."),
    el("p", {}, "This page asks nothing of any other machine. In this browser it keeps who answers and light or dark; the key to the server is forgotten with the tab."),
  ], [["Close", "", "strong"]]);
  remember("seen", "1");
}

// Beginning

async function begin() {
  paint(recalled("theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
  openPanel(!narrow.matches);
  takeToken();
  for (;;) {
    try {
      await room.load();
      break;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (error.status === 401) await askForToken();
      else {
        notice(error.code === "loading" ? `${error.message} …` : error.message);
        await new Promise((later) => setTimeout(later, 700));
      }
    }
  }
  notice("");
  find("say").focus();
  if (recalled("seen") === null) await whatIsKept();
}

async function askForToken() {
  const field = el("input", { type: "password", id: "token", autocomplete: "off" });
  field.setAttribute("aria-label", "Token");
  await ask("This page needs the server's key", [
    el("p", {}, "Open the address that ", el("code", {}, "copersona serve --open"), " shows, or paste the token here."),
    field,
  ], [["Go on", "", "strong"]]);
  setToken(field.value.trim());
}

find("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
find("say").addEventListener("keydown", keys);
find("say").addEventListener("input", grow);
find("person").addEventListener("change", (event) => room.become(event.target.value || null));
find("new").addEventListener("click", () => {
  room.fresh();
  openRail(false);
  find("say").focus();
});
find("compare").addEventListener("click", () => {
  room.view.stop();
  room.comparing = !room.comparing;
  find("compare").setAttribute("aria-pressed", String(room.comparing));
  find("plain").disabled = room.comparing;
  room.fresh();
});
find("open-panel").addEventListener("click", () => {
  openPanel(document.body.classList.contains("no-panel"));
  choose("persona");
});
find("close-panel").addEventListener("click", () => openPanel(false));
find("open-rail").addEventListener("click", () => openRail(!document.body.classList.contains("rail-open")));
find("kept").addEventListener("click", whatIsKept);
find("import").addEventListener("click", () => room.chats.carry());
find("search").addEventListener("input", () => {
  clearTimeout(searching);
  searching = setTimeout(() => room.chats.load(), 250);
});
find("theme").addEventListener("click", () => {
  const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  paint(theme);
  remember("theme", theme);
  announce(`${theme} colours`);
});
for (const name of ["persona", "why"]) {
  find(`tab-${name}`).addEventListener("click", () => choose(name));
  find(`tab-${name}`).addEventListener("keydown", (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    const other = name === "why" ? "persona" : "why";
    choose(other);
    find(`tab-${other}`).focus();
  });
}
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && room.view.running) room.view.stop();
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
    event.preventDefault();
    find("new").click();
  }
});
addEventListener("unhandledrejection", (event) => notice(event.reason?.message ?? "Something went wrong on this page."));
begin();
