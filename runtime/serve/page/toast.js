// A word at the page's foot on what was just done, and how to take it back.

import { announce, button, el, find } from "./dom.js";

const STAYS = 12_000; // milliseconds, and longer while somebody is at it
let leaving = 0;

export function toast(text, act = null) {
  const box = find("toast");
  const parts = [el("span", {}, text)];
  if (act) parts.push(button(act.name, () => dismiss(act.run)));
  parts.push(button("×", () => dismiss(), { "aria-label": "Dismiss" }));
  box.replaceChildren(...parts);
  box.hidden = false;
  announce(act ? `${text} It can be undone, also under Changes.` : text);
  leave();
}

function leave() {
  clearTimeout(leaving);
  leaving = setTimeout(() => {
    if (find("toast").matches(":hover, :focus-within")) leave();
    else dismiss();
  }, STAYS);
}

/** Take the word away; who was at it by keyboard goes on in the panel. */
export function dismiss(then = null) {
  clearTimeout(leaving);
  const box = find("toast");
  if (box.contains(document.activeElement)) document.querySelector(".view:not([hidden])").focus();
  box.hidden = true;
  then?.();
}
