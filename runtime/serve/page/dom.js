// Elements without markup: every text is text, whoever wrote it.

/** An element. `props` are properties, or attributes where there is a dash; children are elements or texts. */
export function el(tag, props = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const made = document.createElement(name || "div");
  if (classes.length) made.className = classes.join(" ");
  for (const [key, value] of Object.entries(props)) {
    if (key.includes("-") || key === "role") made.setAttribute(key, value);
    else made[key] = value;
  }
  made.append(...children.filter((child) => child != null && child !== false));
  return made;
}

/** A drawn element. */
export function drawn(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export const find = (id) => document.getElementById(id);

export function button(text, act, props = {}) {
  return el("button.plain", { type: "button", textContent: text, onclick: act, ...props });
}

/** A day for people to read; nothing where there is no time. */
export function day(seconds) {
  if (seconds == null) return "";
  return new Date(seconds * 1000).toLocaleDateString(undefined, { year: "numeric", month: "short", day: "numeric" });
}

export function cut(text, most) {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length > most ? line.slice(0, most - 1).trimEnd() + "…" : line;
}

export const count = (number, one, many = one + "s") => `${number.toLocaleString()} ${number === 1 ? one : many}`;

/** Say something to who listens instead of looking. */
export function announce(text) {
  find("status").textContent = text;
}

/** Draw a list anew; who was at one of its rows by keyboard stays there. */
export function redraw(list, rows) {
  const parts = () => [...list.querySelectorAll("section, article, li")];
  const place = parts().findIndex((one) => one.contains(document.activeElement));
  list.replaceChildren(...rows);
  if (place >= 0) parts()[Math.min(place, parts().length - 1)]?.querySelector("button")?.focus({ preventScroll: true });
}

/** A larger dialog, whose content may change while it is open; a change is read out from its title on. */
export function showSheet(title, body) {
  const sheet = find("sheet");
  find("sheet-title").textContent = title;
  find("sheet-body").replaceChildren(...body.filter(Boolean));
  if (!sheet.open) sheet.showModal();
  find("sheet-title").focus();
}

export function hideSheet() {
  find("sheet").close();
}

/** A dialog with buttons; gives the value of the one that was pressed, "" when it was closed otherwise. */
export function ask(title, body, buttons) {
  const dialog = find("dialog");
  find("dialog-title").textContent = title;
  find("dialog-body").replaceChildren(...body);
  find("dialog-buttons").replaceChildren(
    ...buttons.map(([text, value, kind]) => el(`button.${kind ?? "plain"}`, { type: "submit", textContent: text, value })),
  );
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((done) => dialog.addEventListener("close", () => done(dialog.returnValue), { once: true }));
}
