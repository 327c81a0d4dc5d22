// Light and dark, and what this browser remembers.

import { announce, find } from "./dom.js";

export function remember(name, value) {
  localStorage.setItem(`copersona.${name}`, value);
}

export const recalled = (name) => localStorage.getItem(`copersona.${name}`);

function paint(theme) {
  document.documentElement.dataset.theme = theme;
  find("theme").textContent = theme === "dark" ? "Light" : "Dark";
}

export function beginTheme() {
  paint(recalled("theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
  find("theme").addEventListener("click", () => {
    const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    paint(theme);
    remember("theme", theme);
    announce(`${theme} colours`);
  });
}
