// An answer becomes one's own writing: by an explicit act, after editing it, and marked as such.

import { personPath, post } from "./api.js";
import { button, el, hideSheet, showSheet } from "./dom.js";
import { toast } from "./toast.js";

export function makeMine(person, answer, done) {
  const field = el("textarea.edit", { value: answer, rows: 12 });
  field.setAttribute("aria-label", "The text as you would have written it");
  const title = el("input", { type: "text", maxLength: 200, autocomplete: "off" });
  const fault = el("p.fault", { role: "alert", hidden: true });
  const keep = el("button.strong", { type: "button", textContent: "Keep as mine", disabled: true });
  const hint = el("p.quiet.small", {}, "It can be kept once you have changed it.");
  field.oninput = () => {
    keep.disabled = same(field.value, answer);
    hint.hidden = !keep.disabled;
  };
  keep.onclick = async () => {
    try {
      await post(personPath(person, "/texts"), { text: field.value, ...(title.value.trim() ? { title: title.value.trim() } : {}), answer });
    } catch (error) {
      fault.textContent = error.message;
      fault.hidden = false;
      return;
    }
    hideSheet();
    toast("Kept among your texts, marked as made from an answer.");
    await done();
  };
  showSheet("Make this mine", [
    el("p", {}, `An answer is no evidence of how ${person} writes. Change it until it says what you would have written, then it is.`),
    field,
    el("label.choice", {}, el("span", {}, "Title, if it has one"), title),
    fault,
    hint,
    el("div.buttons", {}, button("Leave it", hideSheet), keep),
  ]);
  field.focus();
}

const same = (one, other) => !one.trim() || plain(one) === plain(other);
const plain = (text) => text.replace(/\s+/g, " ").trim();
