// The small pieces all pages share.
import { html } from "../html.js";
import { UNKNOWN, text } from "../format.js";
import { severityOf } from "../state.js";

// Shape tells the state where colour cannot: tick in a circle, mark in a triangle, cross in a square, bars in a circle.
const SHAPES = {
  up: html`<circle cx="8" cy="8" r="7" class="tint" /><path d="m5 8.2 2 2 4-4.2" class="mark" />`,
  warn: html`<path d="M8 1.6 15 14H1z" class="tint" /><path d="M8 6v3.6M8 11.6v.2" class="mark" />`,
  crit: html`<rect x="1" y="1" width="14" height="14" rx="3" class="tint" /><path d="m5.4 5.4 5.2 5.2m0-5.2-5.2 5.2" class="mark" />`,
  unknown: html`<circle cx="8" cy="8" r="7" class="tint" /><path d="M6.2 5.5v5M9.8 5.5v5" class="mark" />`,
};

/** @param {{ state: { severity: string, word: string, why: string } }} props */
export function Status({ state }) {
  return html`<span class="status ${state.severity}" title=${state.why}>
    <svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">${SHAPES[state.severity]}</svg>${state.word}
  </span>`;
}

/** A number with its unit set apart. @param {{ shown: import("../format.js").Shown | null }} props */
export function Quantity({ shown }) {
  if (!shown) return html`<span class="unknown">${UNKNOWN}</span>`;
  const space = shown.unit && shown.unit !== "%" ? "\u2009" : "";
  return html`<span class="quantity">${shown.number}${shown.unit && html`<span class="unit">${space}${shown.unit}</span>`}</span>`;
}

/** A share of something that can fill up: a bar and the number. */
export function Meter({ value, shown, label }) {
  if (!shown) return html`<span class="unknown">${UNKNOWN}</span>`;
  const severity = severityOf(value);
  const width = `${Math.min(100, Math.max(0, value)).toFixed(1)}%`;
  return html`<span class="meter ${severity}">
    <span class="track" role="meter" aria-valuemin="0" aria-valuemax="100" aria-valuenow=${Math.round(value)} aria-label=${`${label} ${text(shown)}`}>
      <span class="fill" style=${{ width }}></span>
    </span>
    <${Quantity} shown=${shown} />
  </span>`;
}

/** A number that sums up a page. */
export function Kpi({ label, children, note, href }) {
  const body = html`<span class="kpi-label">${label}</span><span class="kpi-value">${children}</span>
    <span class="kpi-note">${note ?? "\u00a0"}</span>`;
  return href ? html`<a class="card kpi" href=${href} data-page>${body}</a>` : html`<div class="card kpi">${body}</div>`;
}

/** What a page says when there is nothing to show yet. */
export function Empty({ title, children }) {
  return html`<section class="card empty">
    <svg class="pulse" viewBox="0 0 120 32" width="120" height="32" aria-hidden="true">
      <path d="M0 17h38l6-11 10 22 7-15 4 4h55" />
    </svg>
    <h2>${title}</h2>
    ${children}
  </section>`;
}

/** Grey rows while the first answer is on its way; shown only when it takes a moment. */
export function Skeleton({ rows = 5 }) {
  return html`<div class="card skeleton" aria-hidden="true">
    ${Array.from({ length: rows }, (_, n) => html`<div class="skeleton-row" key=${n}></div>`)}
  </div>`;
}

export function Refused({ error }) {
  return html`<section class="card empty" role="alert"><h2>This cannot be shown</h2><p>${error.msg}</p></section>`;
}
