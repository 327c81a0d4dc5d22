// A file that is dropped: what of it counts as own words, seen before anything is kept.

import { post } from "./api.js";
import { announce, button, count, el, find, hideSheet, showSheet } from "./dom.js";
import { drawnPreview } from "./preview.js";
import { toast } from "./toast.js";
import { drawnQuestion } from "./unclear.js";

const PATH = "/copersona/v1/imports";
const SAID = { me: [], prompts: false, keep_junk: false, skip_bad: false };

export class Importing {
  constructor(room) {
    this.room = room;
    this.asked = 0;
  }

  /** Begin with nothing chosen yet; `person` is whose texts they are, where that is known. */
  open(person = null) {
    this.begin(null, person);
    showSheet("Add what you wrote", [
      el("p", {}, "A file or zip as another program exported it. You see what counts as yours before anything is kept."),
      dropZone(this),
      el("div.buttons", {}, button("Leave it", hideSheet)),
    ]);
  }

  begin(file, person) {
    this.file = file;
    this.bytes = file?.slice(); // whatever its kind is said to be
    this.said = { ...SAID, person, zone: Intl.DateTimeFormat().resolvedOptions().timeZone };
  }

  /** Look at a file; for the person of the open sheet, or whom the file names. */
  take(file) {
    this.begin(file, find("sheet").open ? (this.said?.person ?? null) : null);
    return this.look();
  }

  query(more = {}) {
    const query = new URLSearchParams({ name: this.file.name });
    for (const [name, value] of Object.entries({ ...this.said, ...more })) {
      for (const one of Array.isArray(value) ? value : [value]) if (one) query.append(name, one);
    }
    return query;
  }

  /** Have it read with what was said of it so far. */
  async look() {
    const mine = ++this.asked;
    const most = this.room.about.most_upload;
    if (this.file.size > most) {
      this.fail(`${this.file.name} has more than ${count(most, "byte")}; copersona people import takes any file.`);
      return;
    }
    showSheet(`Reading ${this.file.name}`, [el("p.quiet", {}, "It is read on this machine, and nothing of it is kept.")]);
    try {
      const found = await post(`${PATH}/preview?${this.query()}`, this.bytes);
      if (mine !== this.asked || !find("sheet").open) return;
      if (found.unclear) drawnQuestion(this, found);
      else {
        this.found = found;
        drawnPreview(this, found);
      }
    } catch (error) {
      if (mine === this.asked) this.fail(error.message);
    }
  }

  /** Something more is said of it, and it is read once more. */
  say(more) {
    Object.assign(this.said, more);
    return this.look();
  }

  fail(message) {
    showSheet("This cannot be read", [
      el("p.fault", { role: "alert" }, message),
      dropZone(this),
      el("div.buttons", {}, button("Leave it", hideSheet)),
    ]);
  }

  async keep() {
    const { digest } = this.found;
    showSheet(`Keeping ${count(this.found.texts, "text")}`, [el("p.quiet", {}, "All of them or none.")]);
    try {
      const kept = await post(`${PATH}?${this.query({ digest })}`, this.bytes);
      hideSheet();
      await this.room.load(kept.people[0]);
      const known = kept.known ? `; ${kept.known.toLocaleString()} were here already` : "";
      toast(`${count(kept.new, "text")} kept${known}.`);
    } catch (error) {
      this.fail(error.message);
    }
  }
}

/** Where a file is dropped or chosen. */
export function dropZone(importing) {
  const file = el("input.hidden", { type: "file", onchange: () => file.files.length && importing.take(file.files[0]) });
  const zone = el("label.drop", {}, el("b", {}, "Drop a file here"), el("span", {}, "or ", el("u", {}, "choose one")), file);
  const kinds = importing.room.about.exports.join(" · ");
  return el("div", {}, zone, el("p.quiet.small", {}, `Read are exports of ${kinds}, and copersona's own lines.`));
}

/** Files that are dropped anywhere on the page. */
export function acceptDrops(importing) {
  let inside = 0;
  const files = (event) => event.dataTransfer?.types.includes("Files");
  const show = (yes) => document.body.classList.toggle("dropping", yes);
  addEventListener("dragenter", (event) => files(event) && show(++inside > 0));
  addEventListener("dragleave", (event) => files(event) && show(--inside > 0));
  addEventListener("dragover", (event) => files(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    if (!files(event)) return;
    event.preventDefault();
    show((inside = 0) > 0);
    const [first, ...others] = event.dataTransfer.files;
    if (others.length) announce("The first of the files is read; a zip holds several");
    if (first) importing.take(first);
  });
}
