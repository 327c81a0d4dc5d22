// The page: what its controls do, and how it begins.

import { Refused, setToken, takeToken } from "./api.js";
import { ask, el, find } from "./dom.js";
import { whatIsKept } from "./first.js";
import { acceptDrops } from "./importing.js";
import { beginPanel, openPanel } from "./panel.js";
import { Room } from "./room.js";
import { beginTheme, recalled } from "./theme.js";

const narrow = matchMedia("(max-width: 60rem)");
const touch = matchMedia("(pointer: coarse)");
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
  room.notice("");
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

// Beginning

async function begin() {
  beginTheme();
  beginPanel();
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
        room.notice(error.code === "loading" ? `${error.message} …` : error.message);
        await new Promise((later) => setTimeout(later, 700));
      }
    }
  }
  room.notice("");
  acceptDrops(room.importing);
  find("say").focus();
  if (recalled("seen") === null) await whatIsKept(room.about);
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
  room.openRail(false);
  find("say").focus();
});
find("compare").addEventListener("click", () => {
  room.view.stop();
  room.comparing = !room.comparing;
  find("compare").setAttribute("aria-pressed", String(room.comparing));
  find("plain").disabled = room.comparing;
  room.fresh();
});
find("open-rail").addEventListener("click", () => room.openRail(!document.body.classList.contains("rail-open")));
find("kept").addEventListener("click", () => whatIsKept(room.about));
find("add").addEventListener("click", () => room.importing.open(room.person));
find("import").addEventListener("click", () => room.chats.carry());
find("search").addEventListener("input", () => {
  clearTimeout(searching);
  searching = setTimeout(() => room.chats.load(), 250);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && room.view.running) room.view.stop();
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
    event.preventDefault();
    find("new").click();
  }
});
addEventListener("unhandledrejection", (event) => room.notice(event.reason?.message ?? "Something went wrong on this page."));
begin();
