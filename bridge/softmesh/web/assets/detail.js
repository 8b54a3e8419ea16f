// One softwire, or one AFBR, with the chain of reasons; where nothing is selected, how it is done.

import { html, morph } from "./dom.js";
import { badge } from "./tables.js";
import { classOf, stateOf } from "./states.js";
import { age, counted, octets } from "./words.js";

const MOST_CHAINS = 12;
const MOST_ITEMS = 24;

const mono = (text) => html("span", { class: "mono" }, text);

/** Name and value pairs; those without a value are left out. */
function facts(...pairs) {
  const given = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "" && value.length !== 0);
  return html("dl", { class: "facts" }, ...given.flatMap(([name, value]) => [html("dt", {}, name), html("dd", {}, value)]));
}

function list(items, write) {
  const left = items.length - MOST_ITEMS;
  return html("ul", { class: "plain" }, ...items.slice(0, MOST_ITEMS).map((item) => html("li", {}, write(item))),
    left > 0 ? html("li", { class: "note" }, `and ${left} more`) : "");
}

function childTable(children) {
  if (!children.length) return "";
  const heads = ["Traffic", "SPI in / out", "Octets in / out"].map((title) => html("th", { scope: "col" }, title));
  return html("div", {}, html("h3", {}, counted(children.length, "CHILD SA")),
    html("table", { class: "children" }, html("thead", {}, html("tr", {}, ...heads)),
      html("tbody", {}, ...children.slice(0, MOST_ITEMS).map((child) => html("tr", { "data-key": child.name },
        html("td", {}, mono(`${child.local_ts} – ${child.remote_ts}`), html("small", {}, `${child.mode}, ${child.cipher}, ${age(child.for)} old`)),
        html("td", {}, html("span", { class: "mono spi" }, child.spi_in, html("br"), child.spi_out)),
        html("td", {}, octets(child.bytes_in), html("br"), octets(child.bytes_out)))))));
}

function chain(route) {
  const steps = route.steps.map((step) =>
    html("li", { class: `step ${step.rule ? "s-refused" : step.state ? classOf(step.state) : ""}` },
      html("b", {}, step.rule ? `${step.step}: ${step.rule}` : step.step), html("span", {}, step.text)));
  const head = html("p", { class: "chain-head" }, mono(route.prefix), " from ", mono(route.neighbor), " ",
    stateOf(route.result).rank >= 0 ? badge(route.result) : html("span", { class: "chip" }, route.result));
  return html("div", { class: "chain", "data-key": `${route.prefix} ${route.neighbor} ${route.steps[0]?.text.length}` }, head, html("ol", {}, ...steps));
}

function chains(explained) {
  if (explained === null) return "";
  if (explained.error) return html("p", { class: "note" }, explained.error);
  if (!explained.routes) return html("p", { class: "note" }, "asking…");
  if (!explained.routes.length) return html("p", { class: "note" }, "No route leads there.");
  const left = explained.routes.length - MOST_CHAINS;
  return [...explained.routes.slice(0, MOST_CHAINS).map(chain),
    left > 0 ? html("p", { class: "note" }, `and ${counted(left, "route")} more: softmesh explain`) : ""];
}

const reasons = (explained) =>
  explained === null ? "" : html("section", { class: "reasons" }, html("h3", {}, "Why: the chain of reasons"), chains(explained));

function head(kind, title, ...rest) {
  return html("div", { class: "detail-head" }, html("div", {}, html("p", { class: "kind" }, kind), html("h2", { class: "mono" }, title), ...rest),
    html("button", { type: "button", class: "close", "data-select": "", "aria-label": "Close detail" }, "✕"));
}

function softwire(wire, explained) {
  const row = wire.row ?? {};
  const since = wire.for === null || wire.for === undefined ? "" : ` for ${age(wire.for)}`;
  const device = row.interface;
  const routes = [...new Set((row.routes ?? []).map((route) => `${route.prefix} from ${route.neighbor}`))];
  return [
    head("Softwire", wire.ends.join(" – "),
      html("p", { class: "state-line" }, badge(wire.state), since, wire.stale ? html("span", { class: "chip" }, "stale") : "",
        wire.own ? "" : html("span", { class: "chip" }, "judged by announcements alone"))),
    wire.reason ? html("p", { class: "reason" }, wire.reason) : "",
    facts(["Tunnel", wire.type], ["Colour", wire.color], ["Refused by", wire.rule ?? row.rule],
      ["Level", row.level && `${row.level}, ${row.mode} mode`], ["Trust", (row.trust ?? []).join(", ")],
      ["Key from", (row.key_from ?? []).join(", ")], ["Attempts", row.attempts || ""],
      ["Interface", device && `${device.name} (${device.kind})${device.mtu ? `, MTU ${device.mtu}` : ", not there"}`],
      ["Kept for", row.kept_for === null || row.kept_for === undefined ? "" : `${age(row.kept_for)} more`],
      ["Octets", wire.own && row.wanted_children ? `${octets(wire.bytes_in)} in, ${octets(wire.bytes_out)} out` : ""],
      ["Routes", routes.length ? list(routes, mono) : ""]),
    childTable(row.children ?? []),
    reasons(explained),
  ];
}

function announced(tunnel) {
  const color = tunnel.color === null || tunnel.color === undefined ? "" : `, colour ${tunnel.color}`;
  return [html("b", {}, `${tunnel.type ?? "unreadable"}${color}`), tunnel.usable ? "" : html("span", { class: "chip bad" }, "✕ unusable"),
    tunnel.reason ? html("p", { class: "reason" }, tunnel.reason) : "",
    ...tunnel.authenticators.map((digest) => html("div", { class: "mono hash" }, digest))];
}

function afbr(router, model, explained) {
  const touching = model.softwires.filter((wire) => wire.ends.includes(router.endpoint) && (wire.own || router.self || wire.state !== "possible"));
  const far = (wire) => wire.ends.find((end) => end !== router.endpoint) ?? router.endpoint;
  return [
    head(router.self ? "AFBR, this router" : "AFBR", router.endpoint),
    router.problems.length ? list(router.problems, (problem) => html("span", { class: "reason" }, problem)) : "",
    facts(["Prefixes", router.prefixes.length ? list(router.prefixes, mono) : ""],
      ["Announces", router.tunnels.length ? list(router.tunnels, announced) : ""],
      ["Heard from", router.neighbors.length ? list(router.neighbors, mono) : ""],
      ["Softwires", touching.length ? list(touching, (wire) => [badge(wire.state), " ",
        html("button", { type: "button", class: "link mono", "data-select": `softwire=${wire.id}` }, far(wire))]) : ""]),
    reasons(explained),
  ];
}

function nothing(model) {
  const { status } = model;
  const failed = model.own.filter((wire) => wire.state !== "up");
  const dropped = Object.entries(status?.data_plane.dropped ?? {}).filter(([, packets]) => packets);
  return [
    html("h2", {}, status ? "This router" : "Observer"),
    status ? facts(["Endpoint", mono(status.endpoint)],
      ["Announces", status.withdrawn ? "nothing: withdrawn" : status.announcing.length ? list(status.announcing, mono) : "nothing"],
      ["Key", html("span", { class: "mono hash" }, status.authenticator)],
      ["Data plane", status.data_plane.tunnels],
      ["Guards", `${status.data_plane.guards}${dropped.length ? `; packets dropped: ${dropped.map(([rule, packets]) => `${rule} ${packets}`).join(", ")}` : ""}`])
      : "",
    failed.length ? html("h3", {}, `Not up: ${failed.length}`) : "",
    failed.length ? list(failed, (wire) => [badge(wire.state), " ",
      html("button", { type: "button", class: "link mono", "data-select": `softwire=${wire.id}` }, wire.peer),
      wire.reason ? html("p", { class: "reason" }, wire.reason) : ""]) : "",
    html("p", { class: "note hint" }, "Choose a softwire or a router in the picture, or in the table, to see what is known of it, and why it is as it is."),
  ].filter(Boolean);
}

/** What `selection` names, or null where it is there no more. */
export function selected(model, selection) {
  if (selection?.kind === "softwire") return model.softwires.find((wire) => wire.id === selection.id) ?? null;
  if (selection?.kind === "afbr") return model.afbrs.find((router) => router.endpoint === selection.id) ?? null;
  return null;
}

/** `explained`: what /api/explain says; `{}` while it is asked, null where it has nothing to say. */
export function detail(element, model, selection, explained) {
  const found = selected(model, selection);
  if (!selection) morph(element, ...nothing(model));
  else if (!found) morph(element, head(selection.kind === "afbr" ? "AFBR" : "Softwire", selection.id, html("p", { class: "reason" }, "It is not there any more.")));
  else morph(element, ...(selection.kind === "softwire" ? softwire(found, explained) : afbr(found, model, explained)).filter(Boolean));
}
