// The panel beside the conversation: open or not, and which of its views is seen.

import { find } from "./dom.js";

const TABS = ["persona", "texts", "changes", "why"];

export function openPanel(yes) {
  document.body.classList.toggle("no-panel", !yes);
  find("open-panel").setAttribute("aria-expanded", String(yes));
}

/** Show a view. What draws it listens to `shown`. */
export function choose(name) {
  for (const one of TABS) {
    const here = one === name;
    find(`${one}-view`).hidden = !here;
    find(`tab-${one}`).setAttribute("aria-selected", String(here));
    find(`tab-${one}`).tabIndex = here ? 0 : -1;
  }
  find(`${name}-view`).dispatchEvent(new Event("shown"));
}

export const isChosen = (name) => !find(`${name}-view`).hidden && !document.body.classList.contains("no-panel");

export function beginPanel() {
  TABS.forEach((name, place) => {
    const tab = find(`tab-${name}`);
    tab.addEventListener("click", () => choose(name));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      const other = TABS[(place + step + TABS.length) % TABS.length];
      choose(other);
      find(`tab-${other}`).focus();
    });
  });
  find("open-panel").addEventListener("click", () => {
    openPanel(document.body.classList.contains("no-panel"));
    choose("persona");
  });
  find("close-panel").addEventListener("click", () => {
    openPanel(false);
    find("open-panel").focus();
  });
}
