// A small line without axes: SVG, so that it takes the theme and prints.
import { html } from "../html.js";

const WIDTH = 132;
const HEIGHT = 28;
const GAP_MS = 150_000;

/** @param {{ points: { t: number, v: number | null }[], now: number, range: number, top?: number, label: string }} props */
export function Spark({ points, now, range, top, label }) {
  const known = (points ?? []).filter((point) => point.v !== null && point.t >= now - range);
  if (known.length < 2) return html`<span class="unknown spark-none">${known.length ? "Collecting…" : "No data"}</span>`;
  const most = top ?? Math.max(...known.map((point) => point.v));
  const scale = Math.max(most, 1e-9);
  let path = "";
  let last = null;
  for (const { t, v } of known) {
    const x = (WIDTH * (t - (now - range))) / range;
    const y = HEIGHT - 2 - ((HEIGHT - 4) * Math.min(v, scale)) / scale;
    path += `${last !== null && t - last <= GAP_MS ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    last = t;
  }
  return html`<svg class="spark" viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} width=${WIDTH} height=${HEIGHT} preserveAspectRatio="none" role="img" aria-label=${label}><path d=${path} /></svg>`;
}
