// Elements made of text and nothing but text: what peers announced never becomes markup.

const SVG = "http://www.w3.org/2000/svg";
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/gu;

/** Text as it can be shown: what is invisible, or turns the direction of writing, is spelt out. */
export function shown(text) {
  return String(text).replace(UNSEEN, (char) => `\\u{${char.codePointAt(0).toString(16)}}`);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false)
      // What is not seen stays as it is: it is looked up by it.
      element.setAttribute(name, name.startsWith("data-") ? value : shown(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child instanceof Node) element.append(child);
    else if (child !== null && child !== undefined && child !== "") element.append(shown(child));
  }
  return element;
}

export const html = (tag, attributes = {}, ...children) =>
  filled(document.createElement(tag), attributes, children);

export const svg = (tag, attributes = {}, ...children) =>
  filled(document.createElementNS(SVG, tag), attributes, children);

const keyOf = (node) => node.dataset?.key;
const alike = (old, next) => old.nodeName === next.nodeName && keyOf(old) === keyOf(next);

/** Make the children of `parent` what `fresh` is, keeping those that are there: focus and selection stay. */
export function morph(parent, ...fresh) {
  const keyed = new Map();
  for (const child of parent.childNodes) if (keyOf(child) !== undefined) keyed.set(keyOf(child), child);
  let at = parent.firstChild;
  for (const next of fresh.flat(Infinity)) {
    const key = keyOf(next);
    const old = key === undefined ? at : keyed.get(key);
    if (!old || !alike(old, next)) {
      parent.insertBefore(next, at);
      continue;
    }
    if (old === at) at = at.nextSibling;
    else parent.insertBefore(old, at);
    sync(old, next);
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

function sync(old, next) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== next.data) old.data = next.data;
    return;
  }
  for (const { name } of [...old.attributes]) if (!next.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of next.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  morph(old, ...next.childNodes);
}
