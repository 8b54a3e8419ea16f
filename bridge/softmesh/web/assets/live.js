// The connection to the bridge. Whatever is shown is live, or is said not to be.

const SILENCE = 8000; // The server says something every 3 s.
const POLL = 5000;
const REFRESH = 1100; // The server looks at charon once a second at most, and what it tells may be two seconds old.
const AFTERMATH = 3000;
const PATIENCE = 8000;

async function json(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error ?? answer.statusText);
  return body;
}

/** The chain of decisions for an address. */
export const explanation = (target) => json(`/api/explain?target=${encodeURIComponent(target)}`);

/**
 * Keeps asking. `onData(mesh, status)` with each answer, `onEvent(event)` with each event, and
 * `onState(live, since)` when it is lost, and when it is back: `since` is when the bridge was last heard.
 */
export class Live {
  constructor({ onData, onEvent, onState }) {
    Object.assign(this, { onData, onEvent, onState });
    this.heard = null;
    this.answered = null;
    this.asked = 0;
    this.took = 0;
    this.restless = 0;
    this.last = 0;
    this.asking = false;
    this.live = null;
  }

  start() {
    this.open();
    this.refresh();
    setInterval(() => this.tick(), 250);
    document.addEventListener("visibilitychange", () => document.hidden || this.refresh());
  }

  open() {
    this.source?.close();
    this.opened = Date.now();
    this.source = new EventSource(`/api/events?since=${this.last}`);
    const hear = () => {
      this.heard = Date.now();
    };
    this.source.addEventListener("alive", hear);
    this.source.addEventListener("message", ({ data }) => {
      hear();
      const event = JSON.parse(data);
      this.last = event.seq;
      this.restless = Date.now() + AFTERMATH;
      this.onEvent(event);
    });
    this.source.addEventListener("error", () => {
      this.broken = true;
      this.judge();
    });
    this.source.addEventListener("open", () => {
      this.broken = false;
      hear();
      this.refresh();
    });
  }

  async refresh() {
    if (this.asking) return;
    this.asking = true;
    this.asked = Date.now();
    try {
      const mesh = await json("/api/mesh");
      // Beside a route reflector there is no bridge.
      const status = mesh.vantage === null ? null : await json("/api/status");
      this.answered = Date.now();
      this.took = this.answered - this.asked;
      this.onData(mesh, status);
    } catch (error) {
      // An answer that is an error counts as none: after a while what is shown is not live any more.
      if (error instanceof TypeError || error instanceof DOMException) this.broken = true;
    } finally {
      this.asking = false;
      this.judge();
    }
  }

  tick() {
    const now = Date.now();
    // A large mesh takes long to tell of: it is not asked for all the time.
    const pause = Math.max(now < this.restless ? REFRESH : POLL, 10 * this.took);
    if (!document.hidden && now - this.asked >= pause) this.refresh();
    if ((this.broken || now - (this.heard ?? this.opened) > SILENCE) && now - this.opened > 2000) this.open();
    this.judge();
  }

  judge() {
    const now = Date.now();
    const late = Math.max(POLL, 10 * this.took) + PATIENCE;
    const current = this.answered !== null && (document.hidden || now - this.answered < late);
    const live = !this.broken && this.heard !== null && now - this.heard < SILENCE && current;
    const since = this.answered === null ? null : new Date(Math.min(this.heard ?? this.answered, this.answered));
    // Neither while it is being opened for the first time.
    if (!live && this.answered === null && now - this.opened < 2000 && !this.broken) return;
    if (live !== this.live) {
      this.live = live;
      this.lostAt = live ? null : since;
    }
    this.onState(live, this.lostAt);
  }
}
