// What has to be said of a file before it can be read.

import { button, count, el, hideSheet, showSheet } from "./dom.js";

const TITLES = {
  me: "Who are you in it?", person: "Whose texts are these?", dates: "Which way round are its dates?", format: "What is it?",
};
const DATES = [["day-first", "3/4 is the third of April"], ["month-first", "3/4 is the fourth of March"]];

export function drawnQuestion(importing, found) {
  const answer = { me: names, person: newName, dates, format: formats }[found.unclear](importing, found);
  const form = el(
    "form", { onsubmit: (event) => { event.preventDefault(); importing.say(answer.said()); } },
    ...answer.fields,
    el("div.buttons", {}, button("Leave it", hideSheet), el("button.strong", { type: "submit", textContent: "Go on" })),
  );
  showSheet(TITLES[found.unclear], [form]);
}

function names(importing, { choices }) {
  const boxes = choices.map(({ name }) => el("input", { type: "checkbox", value: name }));
  const rows = choices.map(({ name, texts }, place) =>
    el("label.choice", {}, boxes[place], el("span", {}, name), el("span.quiet", {}, count(texts, "message"))));
  const other = el("input", { type: "text", autocomplete: "off" });
  return {
    fields: [
      el("p.quiet", {}, "What the others wrote is left out. Tick each name that is you."),
      el("fieldset", { "aria-label": TITLES.me }, ...rows, el("label.choice", {}, el("span", {}, "Another name"), other)),
    ],
    said: () => ({ me: [...boxes.filter((box) => box.checked).map((box) => box.value), other.value.trim()].filter(Boolean) }),
  };
}

function newName(importing) {
  const known = importing.room.names;
  const list = el("datalist", { id: "names" }, ...known.map((value) => el("option", { value })));
  const field = el("input", { type: "text", required: true, maxLength: 200, autocomplete: "off" });
  field.setAttribute("list", "names");
  return {
    fields: [el("p.quiet", {}, "A new name, or one that is here already."), el("label.choice", {}, el("span", {}, "Name"), field), list],
    said: () => ({ person: field.value.trim() }),
  };
}

function radios(title, rows, name) {
  const fields = rows.map(([value, text], place) => {
    const input = el("input", { type: "radio", name, value, checked: place === 0 });
    return [input, el("label.choice", {}, input, el("span", {}, text))];
  });
  const said = () => ({ [name]: fields.find(([input]) => input.checked)[0].value });
  return { fields: [el("fieldset", { "aria-label": title }, ...fields.map(([, row]) => row))], said };
}

const dates = () => radios(TITLES.dates, DATES, "dates");
const formats = (_, { choices }) => radios(TITLES.format, choices.map(({ name }) => [name, name]), "format");
