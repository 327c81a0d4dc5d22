// One facet of a person: what it says, the evidence, what is lent, and what its person may change.

import { button, count, cut, day, el } from "./dom.js";

export function drawnFacet(facet, owning) {
  const section = el("section.facet", { "aria-label": facet.facet });
  section.append(...(facet.left_out ? leftOut(facet, owning) : shown(facet, owning, section)));
  return section;
}

function head(facet, tag) {
  return el("div.line", {}, el("span.name", {}, facet.facet), el("span.tag", {}, tag));
}

function leftOut(facet, owning) {
  const again = () => owning.takeBack("leave_out", { facet: facet.facet });
  return [head(facet, "left out"), el("div.acts", {}, el("span.quiet", {}, "Used nowhere. "), act("Take in again", facet, again))];
}

function shown(facet, owning, section) {
  const rows = [
    head(facet, facet.corrected ? "in your words" : facet.reliability),
    el("p", {}, facet.lacking ? el("span.quiet", {}, "Own texts say too little of it.") : facet.says),
  ];
  if (facet.own !== null) rows.push(share(facet.own), el("p.quiet.small", {}, shares(facet)));
  else if (facet.lent.length) rows.push(el("p.quiet.small", {}, `${count(facet.lent.length, "person", "people")} alike stand beside it.`));
  rows.push(...facet.quotes.map((quote) => drawnQuote(quote, owning)));
  const acts = [
    act("Correct", facet, () => correct(facet, owning, section)),
    act("Leave out", facet, () => owning.change({ kind: "leave_out", facet: facet.facet }, `“${facet.facet}” is left out.`)),
    act("Forget", facet, () => owning.erasing.facet(facet.facet)),
  ];
  if (facet.corrected) acts.unshift(act("Take back", facet, () => owning.takeBack("correct", { facet: facet.facet })));
  return [...rows, el("div.acts", {}, ...acts)];
}

const act = (text, { facet }, run) => button(text, run, { "aria-label": `${text}: ${facet}` });

function drawnQuote({ quote, from }, owning) {
  const where = from ? [from.title, day(from.time)].filter(Boolean).join(", ") : "";
  const out = button("Leave out", () => owning.change({ kind: "leave_out", quote }, "The quote is left out."), { "aria-label": `Leave out the quote: ${cut(quote, 60)}` });
  return el("blockquote", {}, `“${cut(quote, 180)}”`, el("footer", {}, el("span", {}, where), out));
}

/** The editor in the place of what is said. Typed words outlive a change that was made elsewhere. */
function correct(facet, owning, section, words = facet.corrected ? facet.says : "") {
  const field = el("textarea.edit", { value: words, rows: 3, placeholder: facet.says, maxLength: 300 });
  field.setAttribute("aria-label", `${facet.facet}, in your own words`);
  const said = el("p.small", { role: "alert" });
  const back = () => {
    section.replaceWith(drawnFacet(facet, owning));
  };
  const save = async () => {
    const words = field.value.trim();
    if (!words) return;
    section.classList.add("saving");
    try {
      if (await owning.revise({ kind: "correct", facet: facet.facet, words }, `“${facet.facet}” is in your words now.`)) return;
      again(facet.facet, words, owning);
    } catch (error) {
      section.classList.remove("saving");
      said.textContent = error.message;
    }
  };
  field.onkeydown = (event) => {
    if (event.key === "Escape") back();
    else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) save();
  };
  section.replaceChildren(
    head(facet, facet.reliability), field, said,
    el("p.quiet.small", {}, "Your words count more than what was measured, everywhere."),
    el("div.acts", {}, el("button.strong", { type: "button", textContent: "Save", onclick: save }), button("Leave it", back)),
  );
  field.focus();
  return { said };
}

/** What is typed at facets of a view, and not being saved: facets by name, each with its words. */
export function typed(view) {
  return [...view.querySelectorAll(".facet:not(.saving):has(textarea)")].map((section) => [section.getAttribute("aria-label"), section.querySelector("textarea").value]);
}

/** Open an editor again. */
export function retype(name, words, owning) {
  const { section, facet } = owning.facet(name);
  if (section) correct(facet, owning, section, words);
}

/** After a conflict: the present state, and the words that were typed, not saved. */
function again(name, words, owning) {
  const { section, facet } = owning.facet(name);
  if (!section) return;
  const editor = correct(facet, owning, section, words);
  const now = facet.left_out ? "it is left out" : `it says “${facet.says}”`;
  editor.said.textContent = `Not saved: this was changed in another tab meanwhile. Now ${now}. Save again to put your words in its place, or leave it.`;
}

export function share(own) {
  const mine = el("i"), lent = el("i.lent");
  mine.style.width = `${own * 100}%`;
  lent.style.width = `${(1 - own) * 100}%`;
  return el("div.share", { "aria-hidden": "true" }, mine, lent);
}

function shares(facet) {
  const own = Math.round(facet.own * 100);
  if (!facet.lent.length) return `${own} % own`;
  const near = Math.max(...facet.lent.map((peer) => peer.similarity)).toFixed(2);
  return `${own} % own, the rest from people alike (${count(facet.lent.length, "person", "people")} for this facet, likeness up to ${near})`;
}
