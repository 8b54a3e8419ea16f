// The mesh as a drawing: AFBRs on an ellipse, softwires between them.

import { html, morph, svg } from "./dom.js";
import { FAILED, STATES, classOf, stateOf } from "./states.js";
import { commonStart, counted } from "./words.js";

const MOST_OTHERS = 300; // Pairs that are not ours; beyond, only those that could not be built.
const MOST_OWN = 400; // Beyond, only those that are not up.
const MOST_AT_ALL = 1500;
const MOST_ROUTERS = 120; // Beyond, only those that a softwire is drawn to, and those something is wrong with.
const MOST_NAMED = 40; // Where routers are too many to name each: the ends of so many softwires are named.
const BOX = 40;
const TOP = -Math.PI / 2;

/** What is drawn of a mesh, and a sentence on what is not. */
function chosen(model) {
  const others = model.softwires.filter((wire) => !wire.own);
  const own = model.own.length <= MOST_OWN ? model.own : model.own.filter((wire) => wire.state !== "up");
  const kept = others.length <= MOST_OTHERS ? others : others.filter((wire) => wire.state === "impossible");
  const drawn = [...kept, ...own].slice(-MOST_AT_ALL);
  const left = model.softwires.length - drawn.length;
  return { drawn, left };
}

const abridged = (endpoint, start) => (start ? `…${endpoint.slice(start.length)}` : endpoint);

/** Where the routers are, and how they can be labelled in `width` × `height`. */
function laidOut(afbrs, width, height) {
  const start = commonStart(afbrs.map((afbr) => afbr.endpoint));
  const narrow = width < 560;
  const label = (afbr) => (narrow ? abridged(afbr.endpoint, start) : afbr.endpoint);
  const longest = Math.max(...afbrs.map((afbr) => label(afbr).length), narrow ? 5 : 12);
  const box = Math.min(longest * 7.7 + 22, 300);
  const around = (rx, ry) =>
    afbrs.map((_, index) => {
      const angle = TOP + (2 * Math.PI * index) / afbrs.length;
      return { x: width / 2 + rx * Math.cos(angle), y: height / 2 + ry * Math.sin(angle), angle };
    });
  const roomy = around(Math.min(width / 2 - box / 2 - 4, height * 0.72), height / 2 - BOX / 2 - 14);
  const collide = roomy.some((one, index) =>
    roomy.slice(index + 1).some((two) => Math.abs(one.x - two.x) < box + 12 && Math.abs(one.y - two.y) < BOX + 10),
  );
  if (!collide) return { places: roomy, label, box, kind: "boxes", start: narrow ? start : "" };
  const short = (afbr) => abridged(afbr.endpoint, start);
  const room = Math.min(Math.max(...afbrs.map((afbr) => short(afbr).length)) * 6.4 + 14, width / 4);
  const radius = Math.max(60, Math.min(width, height) / 2 - room);
  if ((2 * Math.PI * radius) / afbrs.length >= 12) return { places: around(radius, radius), label: short, kind: "labels", start };
  // Too many to name each. With us in the middle no softwire of ours hides behind the routers.
  const [places, middle] = [around(radius, radius), { x: width / 2, y: height / 2, angle: TOP }];
  return { places: afbrs.map((afbr, index) => (afbr.self ? middle : places[index])), label: short, kind: "dots", start };
}

function line(from, to, offset) {
  if (!offset) return `M${from.x} ${from.y}L${to.x} ${to.y}`;
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length = Math.hypot(dx, dy) || 1;
  offset = Math.sign(offset) * Math.min(Math.abs(offset), length / 4);
  const bend = { x: (from.x + to.x) / 2 - (dy / length) * offset, y: (from.y + to.y) / 2 + (dx / length) * offset };
  return `M${from.x} ${from.y}Q${bend.x} ${bend.y} ${to.x} ${to.y}`;
}

/** Softwires between the same two routers lie beside each other: by how much each is bent. */
function bends(wires) {
  const together = new Map();
  for (const wire of wires) {
    const pair = [...wire.ends].sort().join(" ");
    together.set(pair, [...(together.get(pair) ?? []), wire.id]);
  }
  const bend = new Map();
  for (const ids of together.values())
    ids.forEach((id, index) => bend.set(id, (index - (ids.length - 1) / 2) * 44));
  return bend;
}

function drawnWire(wire, at, bend, selected, quiet) {
  const [from, to] = wire.ends.map((end) => at.get(end));
  const path = line(from, to, bend);
  const state = stateOf(wire.state);
  // Away from the middle, where all lines meet; on our side of it, and each a little further.
  const share = wire.own ? 0.36 : 0.5;
  const [near, far] = wire.own && wire.ends[1] !== wire.peer ? [to, from] : [from, to];
  const sign = { x: near.x + (far.x - near.x) * (1 - share), y: near.y + (far.y - near.y) * (1 - share) };
  const name = `softwire ${wire.ends[0]} to ${wire.ends[1]}, ${wire.type ?? "no tunnel"}: ${wire.state}`;
  const classes = ["wire", classOf(wire.state), wire.own ? "own" : "other", wire.stale && "stale", selected && "selected", quiet && "quiet"];
  return svg(
    "g",
    { class: classes.filter(Boolean).join(" "), "data-key": `w ${wire.id}`, "data-select": `softwire=${wire.id}`,
      role: "button", tabindex: -1, "aria-label": name, "aria-pressed": String(Boolean(selected)) },
    svg("path", { class: "reach", d: path }),
    svg("path", { class: "line", d: path }),
    wire.own && wire.state !== "up" && !bend
      ? svg("g", { class: "sign", transform: `translate(${sign.x} ${sign.y})` },
          svg("circle", { r: 9 }), svg("text", { y: 4 }, state.mark))
      : "",
    svg("title", {}, name),
  );
}

function drawnAfbr(afbr, place, layout, selected, named) {
  const troubled = afbr.problems.length > 0 || afbr.tunnels.some((tunnel) => !tunnel.usable);
  const prefixes = afbr.prefixes.length ? `, ${afbr.prefixes.join(" ")}` : "";
  const name = `AFBR ${afbr.endpoint}${afbr.self ? " (this router)" : ""}${prefixes}`;
  const shape = [];
  if (layout.kind === "boxes") {
    const prefix = afbr.prefixes[0] ?? (afbr.self ? "this router" : "");
    const more = afbr.prefixes.length > 1 ? ` +${afbr.prefixes.length - 1}` : "";
    const small = layout.start ? (afbr.self ? "this one" : "") : `${prefix}${more}`;
    shape.push(
      svg("rect", { x: -layout.box / 2, y: -BOX / 2, width: layout.box, height: BOX, rx: 9 }),
      svg("text", { class: "name", y: small ? -2 : 5 }, layout.label(afbr)),
      small ? svg("text", { class: "small", y: 13 }, small) : "",
    );
    if (troubled) shape.push(svg("g", { class: "trouble", transform: `translate(${layout.box / 2 - 3} ${3 - BOX / 2})` },
      svg("circle", { r: 8 }), svg("text", { y: 4 }, "!")));
  } else {
    shape.push(svg("circle", { class: "reach", r: 10 }), svg("circle", { class: "dot", r: afbr.self ? 8 : layout.kind === "dots" ? 2 : 5 }));
    if (layout.kind === "labels" || named || selected) {
      const turned = (place.angle * 180) / Math.PI;
      const left = Math.cos(place.angle) < -1e-6;
      shape.push(svg("text", { class: "radial", transform: `rotate(${left ? turned + 180 : turned})`,
        x: left ? -13 : 13, y: 4, "text-anchor": left ? "end" : "start" }, layout.label(afbr)));
    }
  }
  const classes = ["afbr", afbr.self && "self", troubled && "troubled", selected && "selected"].filter(Boolean).join(" ");
  return svg(
    "g",
    { class: classes, "data-key": `a ${afbr.endpoint}`, "data-select": `afbr=${afbr.endpoint}`, role: "button", tabindex: -1,
      "aria-label": name, "aria-pressed": String(Boolean(selected)), transform: `translate(${place.x} ${place.y})` },
    ...shape,
    svg("title", {}, name),
  );
}

/** Draw into `element`; `selection` is what is selected, `only` a state to stand out. Returns what to say below. */
export function draw(element, model, selection, only) {
  const width = Math.max(300, Math.round(element.clientWidth));
  const height = Math.round(width < 560 ? Math.max(300, width * 0.95) : Math.min(560, Math.max(400, width * 0.62)));
  const { drawn, left } = chosen(model);
  const ends = new Set(drawn.flatMap((wire) => wire.ends));
  const all = [...model.afbrs].sort((one, two) => two.self - one.self);
  const afbrs = all.length <= MOST_ROUTERS ? all : all.filter((afbr) => afbr.self || ends.has(afbr.endpoint) || afbr.problems.length);
  if (!all.length) {
    morph(element, html("p", { class: "empty" }, "No router has been heard of yet."));
    return "";
  }
  const layout = laidOut(afbrs, width, height);
  const at = new Map(afbrs.map((afbr, index) => [afbr.endpoint, layout.places[index]]));
  const bend = bends(drawn);
  const isSelected = (kind, id) => selection?.kind === kind && selection.id === id;
  const touches = (wire) => selection?.kind === "afbr" && wire.ends.includes(selection.id);
  const wires = drawn
    .map((wire) => ({ wire, selected: isSelected("softwire", wire.id) }))
    .sort((one, two) => order(one) - order(two))
    .map(({ wire, selected }) =>
      drawnWire(wire, at, bend.get(wire.id), selected || touches(wire), only && wire.state !== only));
  const routers = afbrs.map((afbr) =>
    drawnAfbr(afbr, at.get(afbr.endpoint), layout, isSelected("afbr", afbr.endpoint), drawn.length <= MOST_NAMED && ends.has(afbr.endpoint) && !afbr.self));
  const title = `${counted(all.length, "AFBR")}, ${counted(model.softwires.length, "softwire")}; arrow keys go from one to the next`;
  morph(element, svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": title,
    class: layout.kind }, ...wires, ...routers));
  roam(element.firstChild);
  const said = [];
  const hidden = [left && counted(left, "softwire"), all.length > afbrs.length && counted(all.length - afbrs.length, "router")];
  if (left || all.length > afbrs.length) said.push(`Not drawn, for there are too many and nothing is wrong with them: ${hidden.filter(Boolean).join(", ")}.`);
  if (layout.start) said.push(`… stands for ${layout.start}`);
  return said.join(" ");
}

/** What lies on top: ours above others', what failed above what is up, what is selected above all. */
const order = ({ wire, selected }) => 4 * selected + 2 * wire.own + FAILED.has(wire.state);

/** One stop for the tab key; within, arrows go from one to the next. */
function roam(drawing) {
  const stops = [...drawing.querySelectorAll("[data-select]")];
  const current = stops.find((stop) => stop === document.activeElement) ?? stops.find((stop) => stop.classList.contains("self")) ?? stops[0];
  for (const stop of stops) stop.setAttribute("tabindex", stop === current ? 0 : -1);
}

export function moveFocus(drawing, step) {
  const stops = [...drawing.querySelectorAll("[data-select]")];
  const next = stops[(stops.indexOf(document.activeElement) + step + stops.length) % stops.length];
  next?.focus();
  roam(drawing);
}

/** A line as softwires in a state are drawn. */
export const sample = (state) =>
  svg("svg", { class: "sample", viewBox: "0 0 34 14", width: 34, height: 14, "aria-hidden": "true" },
    svg("g", { class: `wire own ${classOf(state)}` }, svg("path", { class: "line", d: "M2 7L32 7" })));

/** The legend, with how many there are of each; a press shows those alone. */
export function legend(element, counts, only) {
  const there = STATES.filter((state) => counts.get(state.name));
  morph(element, ...there.map((state) =>
    html("button", { type: "button", class: classOf(state.name), "data-key": state.name, "data-only": state.name,
      "aria-pressed": String(only === state.name), title: state.meaning },
      sample(state.name), html("span", { class: "state-name" }, state.name), html("b", {}, counts.get(state.name)))));
}
