// The last checks of a monitor: height tells the outcome, so that it reads without colour.
import { html } from "../html.js";
import { clock, latency, text } from "../format.js";

const WIDTH = 7;
const HEIGHT = 22;
const BARS = { up: 11, slow: 16, down: 20, none: 4 };
/** A check this many times slower than usual stands out. */
const SLOW_FACTOR = 3;
const SLOW_LEAST_SECONDS = 0.5;

/** @param {{ checks: { t: number, v: number | null }[], durations: { t: number, v: number | null }[], count: number }} props */
export function Bars({ checks, durations, count }) {
  const took = new Map((durations ?? []).map(({ t, v }) => [t, v]));
  const sorted = [...took.values()].filter((v) => v !== null).sort((a, b) => a - b);
  const usual = sorted[Math.floor(sorted.length / 2)] ?? 0;
  const shown = (checks ?? []).slice(-count);
  const failed = shown.filter((check) => check.v === 0).length;
  const label = shown.length ? `${shown.length} checks, ${failed} failed` : "No checks yet";
  return html`<svg class="bars" viewBox=${`0 0 ${count * WIDTH} ${HEIGHT}`} width=${count * WIDTH} height=${HEIGHT} role="img" aria-label=${label}>
    ${Array.from({ length: count }, (_, n) => {
      const check = shown[n - (count - shown.length)];
      const duration = check ? took.get(check.t) ?? null : null;
      const isSlow = duration !== null && duration > Math.max(SLOW_LEAST_SECONDS, usual * SLOW_FACTOR);
      const kind = !check || check.v === null ? "none" : check.v === 0 ? "down" : isSlow ? "slow" : "up";
      const height = BARS[kind];
      const words = { up: "succeeded", slow: "succeeded, slowly", down: "failed", none: "no result" }[kind];
      return html`<g key=${n}>
        ${check ? html`<title>${`${clock(check.t, true)}  ${words}${duration === null ? "" : ` in ${text(latency(duration))}`}`}</title>` : null}
        <rect class="hit" x=${n * WIDTH} y="0" width=${WIDTH} height=${HEIGHT} />
        <rect class=${kind} x=${n * WIDTH + 1} y=${HEIGHT - height} width=${WIDTH - 2} height=${height} rx="1.5" />
      </g>`;
    })}
  </svg>`;
}
