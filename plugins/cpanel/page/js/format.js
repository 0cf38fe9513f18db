// Numbers, sizes and times for people, in the chosen language.
import { format, number, t } from "./i18n.js";

export { number };

const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

// 1536 -> "1.5 KB", in steps of 1024
export function bytes(value) {
  if (value === null || value === undefined) return "–";
  let unit = 0;
  while (value >= 1000 && unit < 4) {
    value /= 1024;
    unit += 1;
  }
  return `${number(value, value < 10 && unit ? 1 : 0)} ${["B", "KB", "MB", "GB", "TB"][unit]}`;
}

// Per second: 0.0421 -> "0.04/s"
export function rate(value) {
  if (!value) return value === 0 ? "0/s" : "–";
  return `${number(value, value < 1 ? 2 : value < 10 ? 1 : 0)}/s`;
}

export function ms(value) {
  if (value === null || value === undefined) return "–";
  if (value >= 1000) return `${number(value / 1000, 1)} s`;
  return `${number(value, value < 10 ? 1 : 0)} ms`;
}

// 4000 -> "1 h 6 min"
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const parts = [];
  let left = Math.max(0, Math.floor(seconds));
  for (const [name, size] of UNITS) {
    const count = Math.floor(left / size);
    left -= count * size;
    if (count) parts.push(`${number(count)} ${name}`);
    if (parts.length === 2) break;
  }
  return parts.join(" ") || "0 s";
}

// "3 minutes ago", "in 2 hours"
export function relative(time, now = Date.now()) {
  const seconds = (new Date(time).getTime() - now) / 1000;
  if (Number.isNaN(seconds)) return "–";
  if (Math.abs(seconds) < 5) return t("time.now");
  const [unit, size] = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]].find(
    ([, size]) => Math.abs(seconds) >= size,
  );
  return format(Intl.RelativeTimeFormat, { numeric: "always" }).format(Math.round(seconds / size), unit);
}

const CLOCK = { hour: "numeric", minute: "numeric", second: "numeric", hour12: false };
const MOMENT = { dateStyle: "medium", timeStyle: "medium" };

function dated(time, options) {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? "–" : format(Intl.DateTimeFormat, options).format(date);
}

export const clock = (time) => dated(time, CLOCK);

export const moment = (time) => dated(time, MOMENT);
