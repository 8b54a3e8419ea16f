// Puts the parts together: what arrives is shown, what is chosen is remembered in the address.

import { html, morph, svg } from "./dom.js";
import { detail, selected } from "./detail.js";
import { EventList } from "./events.js";
import { Live, explanation } from "./live.js";
import { modelOf, tally } from "./model.js";
import { draw, legend, moveFocus } from "./picture.js";
import { STATES, classOf } from "./states.js";
import { choices, neighbors, problems, softwires } from "./tables.js";
import { clock, counted } from "./words.js";

const at = (id) => document.getElementById(id);
const view = { sort: "state", down: false, find: "", only: "", all: false };
const events = new EventList(at("events-list"));
let model = null;
let selection = chosen();
let explained = null;

function chosen() {
  let named = "";
  try {
    named = decodeURIComponent(location.hash.slice(1));
  } catch {
    // Typed, and not well.
  }
  const [kind, id] = named.split(/=(.*)/s);
  return (kind === "softwire" || kind === "afbr") && id ? { kind, id } : null;
}

function summary() {
  const { status } = model;
  const counts = tally(model.own);
  const up = counts.get("up") ?? 0;
  const whole = model.wanted.length;
  const refused = counts.get("refused") ?? 0;
  let from = 0;
  const bars = STATES.filter(({ name }) => name !== "refused" && counts.get(name)).reverse().map(({ name }) => {
    const share = (100 * counts.get(name)) / Math.max(1, whole);
    const bar = svg("rect", { class: classOf(name), x: from, y: 0, width: share, height: 10, "data-key": name });
    from += share;
    return bar;
  });
  const fact = (name, well, text) => html("li", { class: well ? "well" : "ill" }, html("b", {}, well ? "✓" : "✕"), ` ${name} `, html("span", {}, text));
  const sessions = model.neighbors.filter((neighbor) => neighbor.state === "up").length;
  const facts = !status ? [] : [
    fact("charon", status.charon.connected, status.charon.connected ? "connected" : status.charon.reason),
    fact("BGP hook", status.hook.connected, status.hook.connected ? "connected" : "not connected"),
    fact("BGP", model.neighbors.length > 0 && sessions === model.neighbors.length, `${sessions} of ${counted(model.neighbors.length, "session")} up`),
    ...(status.withdrawn ? [fact("withdrawn", false, "we announce nothing")] : []),
    ...(status.removal_awaits.length ? [fact("removals", false, `wait for ${status.removal_awaits.join(", ")}`)] : []),
  ];
  const title = model.vantage === null
    ? [html("strong", {}, model.pairs.possible), ` of ${counted(model.pairs.pairs, "pair")} of routers could build a softwire`]
    : [html("strong", {}, up), ` of ${counted(whole, "softwire")} up`, refused ? html("small", {}, `, ${refused} refused`) : ""];
  morph(at("summary"),
    html("p", { class: "progress", id: "progress" }, ...title),
    svg("svg", { class: "bar", viewBox: "0 0 100 10", preserveAspectRatio: "none", role: "img", "aria-label": `${up} of ${whole} up` }, ...bars),
    html("ul", { class: "vitals" }, ...facts));
}

function show() {
  if (!model) return;
  const counts = tally(model.softwires);
  summary();
  at("vantage").textContent = model.vantage ?? "observer";
  document.title = model.vantage === null ? "Softmesh observer" : `${tally(model.own).get("up") ?? 0}/${model.wanted.length} up · Softmesh`;
  at("drawing-note").textContent = draw(at("drawing"), model, selection, view.only);
  legend(at("legend"), counts, view.only);
  detail(at("detail"), model, selection, explained);
  problems(at("problems"), model);
  table();
  neighbors(at("neighbors-list"), model);
  at("shown").removeAttribute("aria-busy");
}

function table() {
  if (!model) return;
  choices(at("state"), tally(model.vantage === null ? model.softwires : model.own), view.only);
  softwires(at("softwires-table"), model, view, selection);
}

/** Ask why the selected one is as it is. */
async function explain() {
  const asked = selection;
  const found = model && selected(model, asked);
  const target = !found ? null : asked.kind === "afbr" ? (found.self ? null : found.endpoint) : found.own ? found.peer : null;
  let answer = null;
  if (target !== null) {
    try {
      answer = await explanation(target);
    } catch (error) {
      answer = { error: error.message };
    }
  }
  if (asked !== selection) return;
  explained = answer;
  if (model) detail(at("detail"), model, selection, explained);
}

function select(target) {
  history.replaceState(null, "", target ? `#${encodeURIComponent(target)}` : location.pathname);
  follow();
  if (selection && matchMedia("(max-width: 60rem)").matches) at("detail").scrollIntoView({ block: "start" });
}

function follow() {
  selection = chosen();
  explained = selection ? {} : null;
  show();
  explain();
}

document.addEventListener("click", ({ target }) => {
  const part = target.closest("[data-select], [data-only], [data-sort], [data-all]");
  if (!part) return;
  const { select: named, only, sort, all } = part.dataset;
  if (named !== undefined) select(named);
  if (only !== undefined) narrow(view.only === only ? "" : only);
  if (all !== undefined) view.all = true;
  if (sort !== undefined) {
    view.down = view.sort === sort && !view.down;
    view.sort = sort;
  }
  if (all !== undefined || sort !== undefined) table();
});

/** Show one state alone, or all. */
function narrow(only) {
  view.only = only;
  show();
}

at("drawing").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  const part = event.target.closest("[data-select]");
  if (step) moveFocus(at("drawing").firstChild, step);
  else if (part && (event.key === "Enter" || event.key === " ")) select(part.dataset.select);
  else return;
  event.preventDefault();
});

at("find").addEventListener("input", ({ target }) => {
  view.find = target.value.trim();
  table();
});
at("state").addEventListener("change", ({ target }) => narrow(target.value));
addEventListener("hashchange", follow);
addEventListener("keydown", ({ key }) => key === "Escape" && selection && select(""));
new ResizeObserver(() => model && draw(at("drawing"), model, selection, view.only)).observe(at("drawing"));

function told(live, since) {
  const [sign, lost] = [at("live"), at("lost")];
  sign.className = live ? "live" : "lost";
  const word = live ? "live" : "not connected";
  if (sign.textContent !== word) sign.textContent = word;
  at("shown").classList.toggle("stale", !live);
  lost.hidden = live;
  if (live) return;
  const text = since === null
    ? "Not connected: the bridge has not answered yet."
    : `Not connected since ${clock(since)}. What is shown is as it was then, and may be otherwise now.`;
  if (lost.textContent !== text) lost.textContent = text;
}

new Live({
  onData(mesh, status) {
    model = modelOf(mesh, status);
    show();
    if (selection) explain();
  },
  onEvent: (event) => events.add(event),
  onState: told,
}).start();
