// A drawing of how a person is known: a spoke a facet, the own share on it, and peers the nearer the more alike.

import { drawn } from "./dom.js";

const WIDE = 320, HIGH = 256, X = WIDE / 2, Y = HIGH / 2 + 6, OWN = 46, NEAR = 56, FAR = 98;

const at = (angle, radius) => [X + Math.cos(angle) * radius * 1.15, Y + Math.sin(angle) * radius];

export function sky(persona) {
  const picture = drawn("svg", { class: "sky", viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": said(persona) });
  const count = persona.facets.length;
  persona.facets.forEach((facet, place) => {
    const angle = -Math.PI / 2 + (place * 2 * Math.PI) / count;
    const [farX, farY] = at(angle, FAR);
    picture.append(drawn("line", { class: "spoke", x1: X, y1: Y, x2: farX, y2: farY }));
    const share = facet.own ?? (facet.lacking ? 0 : 1);
    if (share > 0.02) {
      const [ownX, ownY] = at(angle, 8 + share * (OWN - 8));
      picture.append(drawn("line", { class: "own", x1: X, y1: Y, x2: ownX, y2: ownY }));
    }
    facet.lent.forEach((peer, number) => {
      const aside = angle + (number - (facet.lent.length - 1) / 2) * 0.16;
      const [x, y] = at(aside, NEAR + (1 - Math.max(0, Math.min(1, peer.similarity))) * (FAR - NEAR));
      picture.append(drawn("circle", { class: "peer", cx: x, cy: y, r: 4 }));
    });
    picture.append(label(facet.facet, angle));
  });
  picture.append(drawn("circle", { class: "me", cx: X, cy: Y, r: 7 }));
  return picture;
}

/** A facet's name where its spoke ends: above or below it, at the picture's edge. */
function label(text, angle) {
  const [x, y] = at(angle, FAR);
  const aside = Math.abs(Math.cos(angle)) > 0.3;
  const anchor = !aside ? "middle" : Math.cos(angle) > 0 ? "end" : "start";
  const edge = !aside ? x : Math.cos(angle) > 0 ? WIDE - 2 : 2;
  return drawn("text", { x: edge, y: Math.sin(angle) < 0.2 ? y - 10 : y + 16, "text-anchor": anchor }, text);
}

function said(persona) {
  const parts = persona.facets.map((facet) => {
    const own = facet.own == null ? "" : `${Math.round(facet.own * 100)} percent own, `;
    return `${facet.facet}: ${own}${facet.lent.length} alike`;
  });
  return `How ${persona.person} is known. ${parts.join("; ")}.`;
}
