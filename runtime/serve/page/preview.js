// A file as it would be kept: how many texts, whose, from when, the first ones, and what is left out for which reason.

import { button, count, cut, day, el, hideSheet, showSheet } from "./dom.js";

const SWITCHES = {
  prompts: "Long prose typed to an assistant too, as weak evidence",
  keep_junk: "One-word replies, notices, lyrics and near-duplicates too",
  skip_bad: "Leave out lines that cannot be read",
};

export function drawnPreview(importing, found) {
  const texts = count(found.texts, "text");
  showSheet(`${texts} ${found.texts === 1 ? "counts" : "count"} as ${whose(found)}`, [
    el("p.quiet", {}, [found.title, when(found.span), found.weak ? `${found.weak.toLocaleString()} of them weak evidence at most` : ""].filter(Boolean).join(" · ")),
    found.people.length === 1 ? keptAs(importing, found) : people(found),
    ...first(found),
    ...leftOut(found),
    ...odd(found),
    more(importing),
    el("div.buttons", {}, button("Leave it", hideSheet), el("button.strong", { type: "button", textContent: `Keep ${texts}`, onclick: () => importing.keep() })),
  ]);
}

function whose({ people, more_people: more }) {
  return people.length === 1 ? `${people[0].name}’s own` : `written by ${people.length + more} people`;
}

function when(span) {
  if (!span) return "without times";
  const [first, last] = span.map(day);
  return first === last ? first : `${first} to ${last}`;
}

/** The name they are kept under, which can be changed where the file does not settle it. */
function keptAs(importing, { people: [{ name }], format }) {
  if (format === "jsonl") return null;
  const list = el("datalist", { id: "names" }, ...importing.room.names.map((value) => el("option", { value })));
  const field = el("input", { type: "text", value: name, maxLength: 200, autocomplete: "off" });
  field.setAttribute("list", "names");
  field.onchange = () => field.value.trim() && importing.say({ person: field.value.trim() });
  return el("label.choice", {}, el("span", {}, "Kept as"), field, list);
}

function people({ people, more_people: more }) {
  const named = people.map(({ name, texts }) => `${name} (${texts.toLocaleString()})`);
  return el("p", {}, named.join(", ") + (more ? ` and ${more.toLocaleString()} more` : ""));
}

function first({ first: texts, texts: all }) {
  return [
    el("h3", {}, all > texts.length ? "The first of them" : "All of them"),
    ...texts.map(({ text, title, time }) =>
      el("blockquote", {}, cut(text, 220), el("footer", {}, [title, day(time)].filter(Boolean).join(", ")))),
  ];
}

function leftOut({ left_out: left, outside }) {
  const rows = left.map(({ reason, count: many, example }) => [
    el("dt", {}, reason, example.trim() ? el("span.quiet", {}, ` “${cut(example, 60)}”`) : null), el("dd", {}, many.toLocaleString()),
  ]);
  if (outside) rows.push([el("dt", {}, "links, and names that lead out of the file"), el("dd", {}, outside.toLocaleString())]);
  return rows.length ? [el("h3", {}, "Left out"), el("dl.key", {}, ...rows.flat())] : [];
}

/** What no one writes by hand. */
function odd({ marks, hidden }) {
  const rows = [];
  if (marks) rows.push(`Of ${count(marks, "text")}, marks behind the thirtieth on one letter are left out.`);
  if (hidden) rows.push(`${count(hidden, "text")} hold characters that show nothing; they are kept, and no model reads them.`);
  return rows.map((row) => el("p.quiet.small", {}, row));
}

/** What can be said of the file otherwise; each change has it read once more. */
function more(importing) {
  const { said } = importing;
  const switches = Object.entries(SWITCHES).map(([name, text]) =>
    el("label.choice", {}, el("input", { type: "checkbox", checked: said[name], onchange: (event) => importing.say({ [name]: event.target.checked }) }), el("span", {}, text)));
  const fields = [["zone", "Time zone of times that name none"], ["enrolled_as", "Took part in training as (pseudonym)"]].map(([name, text]) =>
    el("label.choice", {}, el("span", {}, text), el("input", { type: "text", value: said[name] ?? "", autocomplete: "off", onchange: (event) => importing.say({ [name]: event.target.value.trim() }) })));
  return el("details", {}, el("summary", {}, "Read it otherwise"), ...switches, ...fields);
}
