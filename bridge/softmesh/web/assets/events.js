// What happened, newest first.

import { html } from "./dom.js";
import { badge } from "./tables.js";
import { stateOf } from "./states.js";
import { clock } from "./words.js";

const KEPT = 200;
const OWN_PLACE = new Set(["seq", "timestamp", "event", "level", "softwire", "state", "was", "remote", "type", "color", "spi_in", "spi_out"]);

const written = (value) => (typeof value === "string" ? value : Array.isArray(value) ? value.join(", ") : JSON.stringify(value));

export class EventList {
  constructor(element) {
    this.element = element;
  }

  add(event) {
    // What was before this bridge began nobody misses.
    if (event.event === "gap" && event.missed === null) return;
    const at = new Date(event.timestamp);
    const rest = Object.entries(event).filter(([name, value]) => !OWN_PLACE.has(name) && value !== "" && value !== null);
    const state = !event.state ? "" : stateOf(event.state).rank >= 0 ? badge(event.state) : html("span", { class: "chip" }, event.state);
    const item = html("li", { class: event.level === "info" ? null : "bad" },
      html("time", { datetime: event.timestamp }, clock(at)),
      html("div", {}, event.softwire ? state : "", " ",
        event.softwire ? html("button", { type: "button", class: "link mono", "data-select": `softwire=${event.softwire}` }, event.softwire) : html("b", {}, event.event), event.softwire ? "" : [" ", state],
        event.softwire && event.event !== "softwire" ? html("b", {}, ` ${event.event}`) : "",
        ...rest.map(([name, value]) => html("span", { class: "pair" }, html("i", {}, name), " ", written(value)))));
    this.element.prepend(item);
    while (this.element.children.length > KEPT) this.element.lastChild.remove();
  }
}
