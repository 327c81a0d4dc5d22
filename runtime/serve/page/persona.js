// How a person is known: facets with their evidence, what is lent, what the last text moved, and what they may do with
// all of it.

import { get, personPath } from "./api.js";
import { Changes } from "./changes.js";
import { button, count, el, find, redraw } from "./dom.js";
import { Erasing } from "./erasing.js";
import { drawnFacet, retype, typed } from "./facet.js";
import { sky } from "./graph.js";
import { Owning } from "./owning.js";
import { OwnTexts } from "./owntexts.js";
import { isChosen } from "./panel.js";
import { dismiss } from "./toast.js";

const view = () => find("persona-view");

export class Persona {
  constructor(room) {
    this.room = room;
    this.owning = new Owning(() => this.reload());
    this.owning.erasing = new Erasing(room, this.owning);
    this.owning.facet = (name) => this.facet(name);
    this.texts = new OwnTexts(this.owning);
    this.changes = new Changes(this.owning);
    this.asked = 0;
    this.found = null;
    for (const name of ["texts", "changes"]) find(`${name}-view`).addEventListener("shown", () => this[name].load());
  }

  /** Show somebody; null is nobody. */
  async show(person) {
    this.found = null;
    dismiss(); // it would undo something of the person before
    this.owning.see(person, 0);
    view().replaceChildren(person === null ? nobody() : el("p.quiet", {}, `Looking at what ${person} wrote …`));
    await this.reload();
  }

  /** Everything as it stands now. */
  async reload() {
    const { person } = this.owning, mine = ++this.asked;
    if (person !== null) {
      try {
        const found = await get(personPath(person, "/persona"));
        if (mine !== this.asked) return;
        this.draw(found);
      } catch (error) {
        if (mine === this.asked) view().replaceChildren(el("p.quiet", {}, error.message));
      }
    }
    for (const name of ["texts", "changes"]) if (isChosen(name)) await this[name].load();
  }

  draw(found) {
    const { scrollTop } = view(), same = this.found?.person === found.person;
    this.found = found;
    this.owning.see(found.person, found.last);
    const words = same ? typed(view()) : [];
    redraw(view(), drawn(found, this));
    for (const [name, said] of words) retype(name, said, this.owning);
    if (same) view().scrollTop = scrollTop;
  }

  /** A facet and where it is drawn. */
  facet(name) {
    const place = this.found?.facets.findIndex((facet) => facet.facet === name) ?? -1;
    return { facet: this.found?.facets[place], section: view().querySelectorAll(".facet")[place] };
  }
}

function nobody() {
  return el(
    "div", {}, el("h3", {}, "Nobody"),
    el("p.quiet", {}, "No facets, no texts, no similar people: the model as it is. Choose a person to see how they are known."),
  );
}

function drawn(found, persona) {
  const { owning, room } = persona;
  const own = found.facets.filter((facet) => !facet.lacking && !facet.left_out).length;
  return [
    el("h3", {}, `How ${found.person} is known`),
    el("p.quiet", {}, `From ${count(found.texts, "text")}; ${own} of ${count(found.facets.length, "facet")} from own words.`),
    sky(found),
    el("p.quiet.small", {}, "The thick part of a spoke is the person's own share; a ring is someone alike, the nearer the more alike."),
    ...found.facets.map((facet) => drawnFacet(facet, owning)),
    moved(found),
    el("h3", {}, "Yours to keep and to take"),
    el(
      "div.acts", {},
      button("Add texts", () => room.importing.open(found.person)),
      button("Export", () => owning.erasing.export()),
      button("Restore", () => owning.erasing.restore()),
      button(`Forget ${found.person}`, () => owning.erasing.person(found.texts)),
    ),
  ];
}

/** What the last text moved: the person is profiled without it for this, so only when somebody looks. */
function moved(found) {
  const rows = el("div");
  const show = async () => {
    rows.replaceChildren(el("p.quiet", {}, "…"));
    try {
      rows.replaceChildren(...moves(await get(personPath(found.person, "/moved")), found));
    } catch (error) {
      rows.replaceChildren(el("p.quiet", {}, error.message));
    }
  };
  const whole = el("details.moved", {}, el("summary", {}, "What the last text moved"), rows);
  whole.addEventListener("toggle", () => whole.open && show());
  return whole;
}

function moves({ facets, came, went }, found) {
  const rows = facets.map(move).filter(Boolean);
  if (came || went) rows.push(el("p", {}, `${came} of the ${found.neighbors.length} nearest people are new.`));
  return rows.length ? rows : [el("p.quiet", {}, facets.length ? "Nothing that shows." : "Nothing to compare with yet.")];
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
