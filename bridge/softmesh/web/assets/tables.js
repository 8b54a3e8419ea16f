// What is listed: softwires, BGP neighbours, problems.

import { html, morph } from "./dom.js";
import { STATES, classOf, stateOf } from "./states.js";
import { age, counted, octets } from "./words.js";

const MOST_ROWS = 200;

export const badge = (state) =>
  html("span", { class: `badge ${classOf(state)}` }, html("span", { "aria-hidden": "true" }, stateOf(state).mark), ` ${state}`);

const addressOrder = (address) => {
  const six = address.includes(":");
  const [head, tail = ""] = address.split("::");
  const parts = (text) => (text ? text.split(six ? ":" : ".").map((part) => parseInt(part, six ? 16 : 10) || 0) : []);
  const [left, right] = [parts(head), parts(tail)];
  const gap = six ? Math.max(0, 8 - left.length - right.length) : 0;
  return [six ? 1 : 0, ...left, ...Array(gap).fill(0), ...right].map((part) => String(part).padStart(5, "0")).join(" ");
};

const prefixesOf = (wire) => [...new Set((wire.row?.routes ?? []).map((route) => route.prefix))];

function prefixes(wire) {
  const all = prefixesOf(wire);
  return all.length > 3 ? `${all.slice(0, 2).join(" ")} +${all.length - 2}` : all.join(" ");
}

const COLUMNS = [
  { name: "peer", title: "Peer", by: (wire) => addressOrder(wire.peer) },
  { name: "state", title: "State", by: (wire) => stateOf(wire.state).rank },
  { name: "for", title: "For", by: (wire) => wire.for ?? 0, number: true },
  { name: "type", title: "Tunnel", by: (wire) => `${wire.type} ${wire.color}` },
  { name: "in", title: "In", by: (wire) => wire.bytes_in ?? 0, number: true },
  { name: "out", title: "Out", by: (wire) => wire.bytes_out ?? 0, number: true },
  { name: "routes", title: "Prefixes", by: (wire) => prefixesOf(wire).join(" ") },
];

const tunnel = (wire) => `${wire.type ?? "none"}${wire.color === null || wire.color === undefined ? "" : `, colour ${wire.color}`}`;

function matches(wire, { find, only }) {
  if (only && wire.state !== only) return false;
  if (!find) return true;
  return [...wire.ends, wire.state, wire.reason, tunnel(wire), ...prefixesOf(wire)].some((text) =>
    String(text).toLowerCase().includes(find.toLowerCase()));
}

function softwireRow(wire, selected) {
  const cell = (column, ...content) => html("td", { class: `col-${column.name}${column.number ? " number" : ""}` }, ...content);
  const open = html("button", { type: "button", class: "link mono", "data-select": `softwire=${wire.id}` },
    wire.own ? wire.peer : wire.ends.join(" – "));
  const contents = [
    [open], [badge(wire.state), wire.stale ? html("span", { class: "chip" }, "stale") : ""], [age(wire.for)],
    [tunnel(wire)], [octets(wire.bytes_in)], [octets(wire.bytes_out)],
    [html("span", { class: "mono" }, prefixes(wire))],
  ];
  const classes = [selected && "selected", wire.reason && "explained"].filter(Boolean).join(" ");
  return [
    html("tr", { "data-key": wire.id, class: classes || null }, ...COLUMNS.map((column, index) => cell(column, ...contents[index]))),
    wire.reason ? html("tr", { "data-key": `${wire.id} why`, class: selected ? "why selected" : "why" },
      html("td", { colspan: COLUMNS.length }, html("p", {}, wire.reason))) : [],
  ];
}

/** The softwires that `view` lets through: `{sort, down, find, only, all}`. */
export function softwires(element, model, view, selection) {
  const wires = model.vantage === null ? model.softwires : model.own;
  const column = COLUMNS.find(({ name }) => name === view.sort);
  const sign = view.down ? -1 : 1;
  const keys = new Map(wires.map((wire) => [wire, [column.by(wire), addressOrder(wire.peer)]]));
  const compare = (one, two) => (one < two ? -1 : one > two ? 1 : 0);
  const found = wires.filter((wire) => matches(wire, view)).sort((one, two) => {
    const [[a, a2], [b, b2]] = [keys.get(one), keys.get(two)];
    return sign * compare(a, b) || compare(a2, b2);
  });
  const rows = view.all ? found : found.slice(0, MOST_ROWS);
  if (!found.length) {
    morph(element, html("p", { class: "empty" }, wires.length ? "None of the softwires is like that." : "There is no softwire yet."));
    return;
  }
  const heads = COLUMNS.map((each) =>
    html("th", { scope: "col", class: each.number ? "number" : null,
      "aria-sort": each.name !== view.sort ? "none" : view.down ? "descending" : "ascending" },
      html("button", { type: "button", "data-sort": each.name }, each.title,
        html("span", { class: "arrow", "aria-hidden": "true" }, each.name !== view.sort ? "" : view.down ? "▾" : "▴"))));
  morph(element,
    html("table", { class: "softwires" }, html("thead", {}, html("tr", {}, ...heads)),
      html("tbody", {}, ...rows.flatMap((wire) => softwireRow(wire, selection?.kind === "softwire" && selection.id === wire.id)))),
    rows.length < found.length
      ? html("p", { class: "note" }, `${rows.length} of ${counted(found.length, "softwire")} are listed. `,
          html("button", { type: "button", class: "link", "data-all": true }, "List all"))
      : html("p", { class: "note" }, found.length < wires.length ? `${found.length} of ${counted(wires.length, "softwire")}` : ""));
}

/** The choices of the state filter. */
export function choices(element, counts, only) {
  const option = (value, text) => html("option", { value, "data-key": value || "all" }, text);
  morph(element, option("", "all"), ...STATES.filter(({ name }) => counts.get(name) || name === only).map(({ name }) =>
    option(name, `${name} (${counts.get(name) ?? 0})`)));
  element.value = only;
}

const SESSIONS = { up: "up", down: "refused" };

function neighborItem(neighbor) {
  const guard = neighbor.protection;
  const amiss = [neighbor.reason, guard && !guard.satisfied && guard.reason, neighbor.carriage?.reason, neighbor.withheld?.reason];
  const state = SESSIONS[neighbor.state] ?? "wanted";
  return html("li", { "data-key": neighbor.address },
    html("span", { class: "mono" }, neighbor.address), " ",
    html("span", { class: `badge ${classOf(state)}` }, html("span", { "aria-hidden": "true" }, stateOf(state).mark), ` ${neighbor.state}`),
    ` for ${age(neighbor.for)}`, guard ? html("span", { class: "chip" }, `${guard.kind}${guard.gtsm ? ", GTSM" : ""}`) : "",
    ...amiss.filter(Boolean).map((text) => html("p", { class: "reason" }, text)));
}

export function neighbors(element, model) {
  morph(element, model.neighbors.length
    ? html("ul", {}, ...model.neighbors.map(neighborItem))
    : html("p", { class: "empty" }, "None has been heard of yet."));
}

export function problems(element, model) {
  element.hidden = !model.problems.length;
  morph(element, html("h2", {}, counted(model.problems.length, "problem"), " to mend"),
    html("ul", {}, ...model.problems.map((problem) => html("li", {}, problem))));
}
