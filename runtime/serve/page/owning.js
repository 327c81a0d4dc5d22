// What a person changes in how they are known. Each change is told with the last one that this page has seen, so that
// a change made elsewhere meanwhile is never written over unseen.

import { get, personPath, post } from "./api.js";
import { announce } from "./dom.js";
import { toast } from "./toast.js";

const TARGETS = ["facet", "digest", "quote"];

export class Owning {
  /** `changed` is called when there is something else to be shown. */
  constructor(changed) {
    this.changed = changed;
    this.person = null;
    this.last = 0;
  }

  /** The person whose views are shown, and the number of their last change that was seen. */
  see(person, last) {
    this.person = person;
    this.last = last;
  }

  path(rest = "") {
    return personPath(this.person, rest);
  }

  /** Make a change, and say so. False where it was changed elsewhere meanwhile, and nothing was done. */
  async revise(body, said) {
    let made;
    try {
      made = await post(this.path("/revisions"), { ...body, base: this.last });
    } catch (error) {
      if (error.status !== 409) throw error;
      await this.changed();
      return false;
    }
    this.last = made.last;
    await this.changed();
    if (body.kind === "undo") toast(said);
    else toast(said, { name: "Undo", run: () => this.undo(made.revision.number) });
    return true;
  }

  /** The same where nothing was typed that could be lost. */
  async change(body, said) {
    if (!(await this.revise(body, said))) {
      toast("This was changed in another tab meanwhile. Nothing was done here; you see it now as it stands.");
    }
  }

  undo(number) {
    return this.change({ kind: "undo", number }, "Undone.");
  }

  /** Take back the change of this kind that holds for a facet, a text or a quote. */
  async takeBack(kind, target) {
    const [name] = TARGETS.filter((one) => one in target);
    for await (const one of this.revisions()) {
      if (one.kind === kind && !one.undone && one[name] === target[name]) return this.undo(one.number);
    }
    announce("This was taken back already");
    return this.changed();
  }

  /** All changes, the newest first. */
  async *revisions() {
    for (let before = ""; ; ) {
      const { revisions, more } = await get(this.path(`/revisions${before}`));
      yield* revisions;
      if (!more) return;
      before = `?before=${revisions.at(-1).number}`;
    }
  }
}
