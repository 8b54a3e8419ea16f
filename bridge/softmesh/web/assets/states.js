// The states of a softwire: their order, their signs, and what they mean.

/** Worst first, as tables sort them. `mark` stands beside the colour, for not everybody tells colours apart. */
export const STATES = [
  { name: "refused", mark: "✕", meaning: "policy or the announcement forbids it" },
  { name: "pending-key", mark: "?", meaning: "no key was found for it" },
  { name: "degraded", mark: "!", meaning: "up in part" },
  { name: "connecting", mark: "…", meaning: "an attempt is under way" },
  { name: "wanted", mark: "○", meaning: "the peer is to begin, or charon is away" },
  { name: "up", mark: "✓", meaning: "all of it is up" },
  { name: "impossible", mark: "✕", meaning: "between others: what they announce does not fit" },
  { name: "unjudged", mark: "·", meaning: "between others: nothing is claimed" },
  { name: "possible", mark: "·", meaning: "between others: what they announce fits" },
];

const BY_NAME = new Map(STATES.map((state, rank) => [state.name, { ...state, rank }]));

/** Of a state, also one that this page has not heard of. */
export const stateOf = (name) => BY_NAME.get(name) ?? { name, mark: "?", meaning: "", rank: -1 };

/** States that a person must look at. */
export const FAILED = new Set(["refused", "pending-key", "degraded"]);

/** The name as part of a class: a state is a word of ours. */
export const classOf = (name) => (BY_NAME.has(name) ? `s-${name}` : "s-unknown");
