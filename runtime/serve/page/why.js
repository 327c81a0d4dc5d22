// Why an answer reads as it does: its receipt, for people.

import { get } from "./api.js";
import { count, cut, day, el, find } from "./dom.js";
import { share } from "./facet.js";

const PARTS = {
  soft: "soft prompt", system: "instruction and facets", profile: "facets", recent: "latest own texts",
  matched: "own texts like the request", request: "request", conversation: "conversation",
};
const FOUND = { pinned: "pinned", recent: "among the latest", bm25: "shares words with the request", dense: "alike in meaning", blend: "like the request" };

export async function showWhy(answer) {
  const view = find("why-view");
  const { record, seconds } = answer;
  if (!record?.receipt) {
    view.replaceChildren(el("p.quiet", {}, "There is no record of this answer."));
    return;
  }
  const receipt = record.receipt;
  view.replaceChildren(...drawn(receipt, record, seconds));
  const list = view.querySelector("#why-texts");
  if (!list || receipt.person === null) return;
  try {
    const query = receipt.retrieved.map(({ digest }) => `digest=${encodeURIComponent(digest)}`).join("&");
    const { texts } = await get(`/copersona/v1/people/${encodeURIComponent(receipt.person)}/texts?${query}`);
    const byDigest = new Map(texts.map((text) => [text.digest, text]));
    list.replaceChildren(...receipt.retrieved.map((row) => ownText(row, byDigest.get(row.digest))));
  } catch (error) {
    list.replaceChildren(el("p.quiet", {}, error.message));
  }
}

function drawn(receipt, record, seconds) {
  return [
    el("h3", {}, receipt.person === null ? "Answered as nobody" : `Answered as ${receipt.person}`),
    el("p.quiet", {}, summary(receipt)),
    el("h3", {}, "What the model read"),
    ...tokens(receipt),
    ...facets(receipt),
    ...texts(receipt),
    ...leftOut(receipt, record),
    el("h3", {}, "How"),
    el("dl.key", {}, ...how(receipt, record, seconds).flatMap(([name, value]) => [el("dt.quiet", {}, name), el("dd", {}, value)])),
  ];
}

function summary(receipt) {
  if (receipt.person === null) return "No facets, no own texts, nobody alike.";
  if (receipt.recall && !receipt.recall.recalled) return unrelated(receipt);
  const soft = receipt.trained ? "a soft prompt of the person, " : "";
  const lent = receipt.facets.reduce((sum, facet) => sum + facet.borrowed.filter((peer) => peer.shown).length, 0);
  return `${soft}${count(receipt.retrieved.length, "own text")}, ${count(receipt.facets.length, "facet")}, ${count(lent, "line")} of people alike.`;
}

function unrelated({ person, recall }) {
  if (recall.mode === "never") return "Nothing of the person was used: that was asked for.";
  const words = Math.round((recall.own_words ?? 0) * 100);
  return `Nothing of the person was used: the request asks for something to be known rather than written (nearness to writing ${recall.writing.toFixed(2)}), and only ${words} % of its words stand in ${person}’s texts.`;
}

function tokens(receipt) {
  const rows = Object.entries(receipt.prompt_tokens).filter(([, tokens]) => tokens > 0);
  const all = rows.reduce((sum, [, tokens]) => sum + tokens, 0);
  const bar = el("div.stack", { "aria-hidden": "true" });
  for (const [, tokens] of rows) {
    const part = el("i");
    part.style.width = `${(tokens / all) * 100}%`;
    bar.append(part);
  }
  const key = rows.flatMap(([name, tokens]) => [el("dt", {}, PARTS[name] ?? name), el("dd", {}, `${tokens}`)]);
  return [bar, el("dl.key", {}, ...key, el("dt.quiet", {}, "tokens in all"), el("dd", {}, all.toLocaleString()))];
}

function facets(receipt) {
  if (!receipt.facets.length) return [];
  const rows = receipt.facets.map((facet) => {
    const shown = facet.borrowed.filter((peer) => peer.shown).length;
    const lent = shown ? `${count(shown, "line")} of people alike in the prompt` : "nothing lent in the prompt";
    return el(
      "section.facet", { "aria-label": facet.facet },
      el("div.line", {}, el("span.name", {}, facet.facet), el("span.tag", {}, facet.reliability)),
      facet.gate === null ? null : share(facet.gate),
      el("p.quiet.small", {}, facet.gate === null ? lent : `${Math.round(facet.gate * 100)} % own; ${lent}`),
    );
  });
  return [el("h3", {}, "Share by facet"), ...rows];
}

function texts(receipt) {
  if (!receipt.retrieved.length) return [];
  return [el("h3", {}, "Own texts in the prompt"), el("div", { id: "why-texts" }, el("p.quiet", {}, "…"))];
}

function ownText(row, text) {
  const when = [day(row.time), FOUND[row.by] ?? row.by].filter(Boolean).join(", ");
  const title = text?.title ? el("b", {}, cut(text.title, 80)) : null;
  const body = text ? cut(text.text, 220) : "This text is no longer kept.";
  return el("div.text", {}, el("p.quiet.small", {}, when), title, el("p", {}, body));
}

function leftOut(receipt, record) {
  const rows = [];
  if (record.left_out) rows.push(`${count(record.left_out, "earlier message")} of this conversation`);
  rows.push(...receipt.left_out);
  return rows.length ? [el("h3", {}, "Left out for want of room"), ...rows.map((row) => el("p.quiet", {}, row))] : [];
}

function how(receipt, record, seconds) {
  const rows = [["model", receipt.trained ? "trained for personas" : "as published"]];
  if (seconds) {
    rows.push(["first word after", `${seconds.first.toFixed(1)} s`], ["whole after", `${seconds.whole.toFixed(1)} s`]);
    const rate = receipt.pieces / Math.max(seconds.whole - seconds.first, 0.001);
    if (receipt.pieces > 2) rows.push(["tokens a second", rate.toFixed(0)]);
  }
  rows.push(["tokens written", `${receipt.pieces}`], ["temperature", `${receipt.sampling.temperature}`], ["seed", `${receipt.sampling.seed}`]);
  rows.push(["bundle", receipt.versions.bundle.slice(0, 12)], ["copersona", receipt.versions.copersona]);
  return rows;
}
