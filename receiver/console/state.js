// What servers and monitors are doing, as a word, a severity and a reason.

/** Worst first: the order of the lists. */
export const SEVERITY = ["crit", "warn", "unknown", "up"];

const NEAR_PERCENT = 80;
const FULL_PERCENT = 90;
const BUSY_PERCENT = 95;
const CERTIFICATE_WARN_DAYS = 14;
/** Without a known interval, a minute of silence is nothing special. */
const SILENCE_DEFAULT_MS = 150_000;
const SILENCE_LEAST_MS = 20_000;

/** The severity of a share that can fill up. */
export function severityOf(percent) {
  if (percent === null || percent === undefined) return "unknown";
  if (percent >= FULL_PERCENT) return "crit";
  if (percent >= NEAR_PERCENT) return "warn";
  return "up";
}

/** Whether a row has been silent for more than three of its intervals. */
export function isSilent(row, nowMs) {
  const { t } = row.now.value;
  if (t === null) return true;
  const patience = row.intervalMs ? Math.max(3 * row.intervalMs + 2000, SILENCE_LEAST_MS) : SILENCE_DEFAULT_MS;
  return nowMs - t > patience;
}

/** @returns {{ severity: string, word: string, why: string }} */
export function serverState(row, nowMs) {
  const { t, values } = row.now.value;
  if (values.up === 0) return { severity: "crit", word: "Down", why: "The last scrape failed" };
  if (isSilent(row, nowMs)) {
    return { severity: "unknown", word: t === null ? "Waiting" : "No data", why: "No sample has arrived lately" };
  }
  const full = [];
  if (values.disk >= FULL_PERCENT) full.push("a file system is nearly full");
  if (values.memory >= FULL_PERCENT) full.push("memory is nearly full");
  if (values.cpu >= BUSY_PERCENT) full.push("the CPU is saturated");
  if (full.length) return { severity: "warn", word: "Degraded", why: capitalised(full.join(", ")) };
  return { severity: "up", word: "Up", why: "Everything is within bounds" };
}

/** @returns {{ severity: string, word: string, why: string }} */
export function monitorState(row, nowMs) {
  const { t, values } = row.now.value;
  if (t === null) return { severity: "unknown", word: "Waiting", why: "Not checked yet" };
  if (isSilent(row, nowMs)) return { severity: "unknown", word: "No data", why: "No check has arrived lately" };
  if (values.up === 0) return { severity: "unknown", word: "No data", why: "The prober itself cannot be reached" };
  if (values.success === 0) return { severity: "crit", word: "Down", why: "The last check failed" };
  const days = certificateDays(row, nowMs);
  if (days !== null && days < CERTIFICATE_WARN_DAYS) {
    return { severity: "warn", word: "Degraded", why: "The certificate expires soon" };
  }
  return { severity: "up", word: "Up", why: "The last check succeeded" };
}

/** Days until the certificate expires; null when there is none. */
export function certificateDays(row, nowMs) {
  const expiry = row.now.value.values.certificate_expiry;
  return expiry ? (expiry * 1000 - nowMs) / 86_400_000 : null;
}

function capitalised(words) {
  return words[0].toUpperCase() + words.slice(1);
}
