// Numbers and times as people read them.

/** Seconds: 4.2 s, 3m07s, 2h05m, 9d04h. */
export function age(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 60) return `${Math.max(0, seconds).toFixed(seconds < 10 ? 1 : 0)} s`;
  const whole = Math.floor(seconds);
  const two = (number) => String(number).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)}m${two(whole % 60)}s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)}h${two(Math.floor((whole % 3600) / 60))}m`;
  return `${Math.floor(whole / 86400)}d${two(Math.floor((whole % 86400) / 3600))}h`;
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

export function octets(count) {
  if (count === null || count === undefined) return "";
  let unit = 0;
  let left = count;
  while (left >= 1024 && unit < UNITS.length - 1) {
    left /= 1024;
    unit += 1;
  }
  return `${unit && left < 100 ? left.toFixed(1) : Math.round(left)} ${UNITS[unit]}`;
}

export const clock = (date) =>
  [date.getHours(), date.getMinutes(), date.getSeconds()].map((part) => String(part).padStart(2, "0")).join(":");

export const counted = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

/** What all addresses begin with, whole groups of it; empty where they share none. */
export function commonStart(names) {
  if (names.length < 2) return "";
  let length = 0;
  while (names.every((name) => length < name.length && name[length] === names[0][length])) length += 1;
  const start = names[0].slice(0, length);
  return start.slice(0, Math.max(start.lastIndexOf(":"), start.lastIndexOf("."), 0)).replace(/:+$/, "");
}
