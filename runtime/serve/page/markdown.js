// Answers as they are read: plain while they come, laid out by the server when they are whole.

import { post } from "./api.js";
import { announce, button } from "./dom.js";

const policy = globalThis.trustedTypes?.createPolicy("copersona", { createHTML: (html) => html });

/** Show a whole text. It stays plain where the server cannot lay it out. */
export async function show(target, text) {
  target.classList.add("raw");
  target.textContent = text;
  if (!text.trim() || text.length > 100_000) return;
  try {
    const { html } = await post("/copersona/v1/markdown", { text });
    target.innerHTML = policy ? policy.createHTML(html) : html;
    target.classList.remove("raw");
    for (const code of target.querySelectorAll("pre")) withCopy(code);
  } catch {
    // it stays as it came
  }
}

function withCopy(code) {
  code.tabIndex = 0;
  const copy = button("Copy", () => copied(code.querySelector("code")?.textContent ?? code.textContent));
  copy.classList.add("copy-code");
  code.before(copy);
}

export async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    announce("Copied");
  } catch {
    announce("The browser does not let this page copy");
  }
}
