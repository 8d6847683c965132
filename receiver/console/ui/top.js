// The bar at the top: where one is, whether what one sees is live, the theme.
import { html, signal, useComputed } from "../html.js";
import { now } from "../clock.js";
import { monitorCounts, serverCounts, servers } from "../data.js";
import { hello, link, roundTrip } from "../live.js";
import { path } from "../router.js";
import { duration } from "../format.js";

const PAGES = [
  { href: "/", name: "Servers", is: (at) => at === "/" || at.startsWith("/servers/"), counts: serverCounts },
  { href: "/monitors", name: "Monitors", is: (at) => at === "/monitors", counts: monitorCounts },
  { href: "/status", name: "Status", is: (at) => at === "/status" },
];

export const helpIsOpen = signal(false);

/** Waiting longer than this for any server's sample is worth saying. */
const STALE_LEAST_MS = 20_000;

function liveness() {
  if (link.value === "connecting") return { kind: "wait", word: "Connecting…" };
  if (link.value === "waiting") return { kind: "wait", word: "Reconnecting…" };
  let newest = null;
  let interval = null;
  for (const row of servers.rows.value ?? []) {
    const { t } = row.now.value;
    if (t !== null) newest = Math.max(newest ?? 0, t);
    if (row.intervalMs) interval = Math.min(interval ?? Infinity, row.intervalMs);
  }
  if (newest === null) return { kind: "live", word: "Live" };
  const age = now.value - newest;
  if (age > Math.max(STALE_LEAST_MS, 3 * (interval ?? 60_000))) {
    return { kind: "stale", word: `Stale ${duration(age / 1000)}` };
  }
  return { kind: "live", word: interval ? `Live · ${Math.max(1, Math.round(interval / 1000))}\u2009s` : "Live" };
}

function LiveChip() {
  const state = useComputed(liveness).value;
  const details = hello.value
    ? `Server ${hello.value.server}${roundTrip.value === null ? "" : `, ${roundTrip.value} ms away`}`
    : "Not connected yet";
  return html`<span class="chip ${state.kind}" title=${details} role="status"><span class="dot" aria-hidden="true"></span>${state.word}</span>`;
}

const THEMES = ["auto", "light", "dark"];
const THEME_NAMES = { auto: "as the system", light: "light", dark: "dark" };
const chosen = signal(window.watchpostTheme.chosen());

export function nextTheme() {
  const next = THEMES[(THEMES.indexOf(chosen.value) + 1) % THEMES.length];
  window.watchpostTheme.choose(next);
  chosen.value = next;
}

const THEME_ICONS = {
  auto: html`<circle cx="8" cy="8" r="5.5" class="line" /><path d="M8 2.5a5.5 5.5 0 0 1 0 11z" class="solid" />`,
  light: html`<circle cx="8" cy="8" r="3" class="line" /><path class="line" d="M8 1v1.6M8 13.4V15M1 8h1.6M13.4 8H15M3 3l1.1 1.1M11.9 11.9 13 13M13 3l-1.1 1.1M4.1 11.9 3 13" />`,
  dark: html`<path d="M13.2 9.8A5.6 5.6 0 0 1 6.2 2.8a5.6 5.6 0 1 0 7 7z" class="line" />`,
};

function ThemeButton() {
  const label = `Theme: ${THEME_NAMES[chosen.value]}. Change`;
  return html`<button class="icon-button" type="button" onClick=${nextTheme} aria-label=${label} title=${label}>
    <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">${THEME_ICONS[chosen.value]}</svg>
  </button>`;
}

export function Top() {
  return html`<header class="top">
    <a class="skip" href="#main">Skip to content</a>
    <a class="brand" href="/" data-page aria-label="Watchpost, servers">
      <svg viewBox="0 0 32 32" width="20" height="20" aria-hidden="true"><rect width="32" height="32" rx="7" /><path d="M6 17h5l3-8 5 15 3-7h4" /></svg>
      <span>Watchpost</span>
    </a>
    <nav aria-label="Pages">
      ${PAGES.map((page) => html`<a key=${page.href} href=${page.href} data-page aria-current=${page.is(path.value) ? "page" : undefined}>
        ${page.name}${page.counts?.value.crit ? html`<span class="badge" aria-label=${`${page.counts.value.crit} down`}>${page.counts.value.crit}</span>` : null}
      </a>`)}
    </nav>
    <div class="tools">
      <${LiveChip} />
      <${ThemeButton} />
      <button class="icon-button key" type="button" aria-label="Keyboard shortcuts" title="Keyboard shortcuts (?)" onClick=${() => (helpIsOpen.value = true)}>?</button>
    </div>
  </header>`;
}
