// Numbers as people read them: three significant digits, a thin space, a light unit. Unknown is a dash, never 0.

const THIN = "\u2009";
export const UNKNOWN = "—";

/** @typedef {{ number: string, unit: string }} Shown */

/** @param {number | null | undefined} value */
export function isKnown(value) {
  return typeof value === "number" && Number.isFinite(value);
}

/** Three significant digits, no exponent. */
export function digits(value) {
  const size = Math.abs(value);
  if (size >= 100) return Math.round(value).toString();
  if (size >= 10) return value.toFixed(1);
  return value.toFixed(2);
}

/** `83.4`, one decimal always, so that columns line up. */
export function percent(value) {
  return isKnown(value) ? { number: value.toFixed(1), unit: "%" } : null;
}

const BYTES_IEC = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
const BYTES_SI = ["B/s", "kB/s", "MB/s", "GB/s", "TB/s"];

/** The unit in which `value` reads best. @returns {{ divisor: number, unit: string }} */
export function scaleOf(kind, value) {
  if (kind === "bytes") return scaled(value, 1024, BYTES_IEC);
  if (kind === "bytes/s") return scaled(value, 1000, BYTES_SI);
  if (kind === "percent") return { divisor: 1, unit: "%" };
  if (kind === "seconds") return value < 1 ? { divisor: 0.001, unit: "ms" } : { divisor: 1, unit: "s" };
  return { divisor: 1, unit: "" };
}

function scaled(value, base, units) {
  let power = 0;
  let size = Math.abs(value);
  while (size >= base * 0.9995 && power + 1 < units.length) {
    size /= base;
    power += 1;
  }
  return { divisor: base ** power, unit: units[power] };
}

/** @returns {Shown | null} */
export function quantity(kind, value) {
  if (!isKnown(value)) return null;
  if (kind === "percent") return percent(value);
  const { divisor, unit } = scaleOf(kind, value);
  const number = value / divisor;
  const whole = unit === "B" || unit === "B/s";
  return { number: whole ? Math.round(number).toString() : digits(number), unit };
}

/** The same as plain text, for titles and screen readers. */
export function text(shown) {
  if (!shown) return UNKNOWN;
  if (!shown.unit) return shown.number;
  return shown.unit === "%" ? `${shown.number}%` : `${shown.number}${THIN}${shown.unit}`;
}

/** `41 d`, `3 h 12 m`, `9 s`: two units below a week, one above. */
export function duration(seconds) {
  if (!isKnown(seconds)) return UNKNOWN;
  const total = Math.max(0, Math.floor(seconds));
  const days = Math.floor(total / 86400);
  const hours = Math.floor(total / 3600) % 24;
  const minutes = Math.floor(total / 60) % 60;
  const pair = (a, unitA, b, unitB) => (b > 0 ? `${a}${THIN}${unitA} ${b}${THIN}${unitB}` : `${a}${THIN}${unitA}`);
  if (days >= 7) return `${days}${THIN}d`;
  if (days > 0) return pair(days, "d", hours, "h");
  if (hours > 0) return pair(hours, "h", minutes, "m");
  if (minutes > 0) return `${minutes}${THIN}m`;
  return `${total}${THIN}s`;
}

/** `ms` below a second, seconds above. */
export function latency(seconds) {
  if (!isKnown(seconds)) return null;
  return seconds < 0.9995
    ? { number: digits(seconds * 1000), unit: "ms" }
    : { number: seconds.toFixed(2), unit: "s" };
}

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const CLOCK_SECONDS = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
});
const DAY = new Intl.DateTimeFormat("en-GB", { year: "numeric", month: "short", day: "numeric" });

/** @param {number} ms since 1970 */
export function clock(ms, withSeconds = false) {
  return (withSeconds ? CLOCK_SECONDS : CLOCK).format(ms);
}

/** @param {number} ms since 1970 */
export function day(ms) {
  return DAY.format(ms);
}
