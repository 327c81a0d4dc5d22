// How a person is known: facets with their evidence, what is lent, what the last text moved.

import { get } from "./api.js";
import { count, cut, day, el, find } from "./dom.js";
import { sky } from "./graph.js";

const view = () => find("persona-view");
let asked = 0;

export async function showPersona(person) {
  const mine = ++asked;
  if (person === null) {
    view().replaceChildren(
      el("h3", {}, "Nobody"),
      el("p.quiet", {}, "No facets, no texts, no similar people: the model as it is. Choose a person to see how they are known."),
    );
    return;
  }
  view().replaceChildren(el("p.quiet", {}, `Looking at what ${person} wrote …`));
  try {
    const found = await get(`/copersona/v1/people/${encodeURIComponent(person)}/persona`);
    if (mine === asked) view().replaceChildren(...drawnPersona(found));
  } catch (error) {
    if (mine === asked) view().replaceChildren(el("p.quiet", {}, error.message));
  }
}

function drawnPersona(found) {
  const own = found.facets.filter((facet) => !facet.lacking).length;
  return [
    el("h3", {}, `How ${found.person} is known`),
    el("p.quiet", {}, `From ${count(found.texts, "text")}; ${own} of ${count(found.facets.length, "facet")} from own words.`),
    sky(found),
    el("p.quiet.small", {}, "The thick part of a spoke is the person's own share; a ring is someone alike, the nearer the more alike."),
    ...found.facets.map(drawnFacet),
    ...moved(found),
  ];
}

function drawnFacet(facet) {
  const rows = [
    el("div.line", {}, el("span.name", {}, facet.facet), el("span.tag", {}, facet.reliability)),
    el("p", {}, facet.lacking ? el("span.quiet", {}, "Own texts say too little of it.") : facet.says),
  ];
  if (facet.own !== null) rows.push(share(facet.own), el("p.quiet.small", {}, shares(facet)));
  else if (facet.lent.length) rows.push(el("p.quiet.small", {}, `${count(facet.lent.length, "person", "people")} alike stand beside it.`));
  for (const { quote, from } of facet.quotes) {
    const where = from ? [from.title, day(from.time)].filter(Boolean).join(", ") : "";
    rows.push(el("blockquote", {}, `“${cut(quote, 180)}”`, where ? el("footer", {}, where) : null));
  }
  return el("section.facet", { "aria-label": facet.facet }, ...rows);
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

function moved(found) {
  const rows = found.moved.facets.map(move).filter(Boolean);
  const { came, went } = found.moved;
  if (came || went) rows.push(el("p", {}, `${came} of the ${found.neighbors.length} nearest people are new.`));
  if (!found.moved.facets.length) return [];
  return [el("h3", {}, "What the last text moved"), ...(rows.length ? rows : [el("p.quiet", {}, "Nothing that shows.")])];
}

function move({ facet, says, reliability, score }) {
  const parts = [];
  if (reliability[0] !== reliability[1]) parts.push(`${reliability[0]} → ${reliability[1]}`);
  if (says[0] !== says[1]) parts.push(`${says[0] || "nothing said"} → ${says[1] || "nothing said"}`);
  const [before, after] = score;
  if (before != null && after != null && Math.abs(after - before) >= 0.05) {
    parts.push(`${signed(before)} → ${signed(after)}`);
  }
  return parts.length ? el("p", {}, el("b", {}, `${facet}: `), parts.join("; ")) : null;
}

const signed = (value) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(1);
