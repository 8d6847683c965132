// One chart card: title, unit, present value, lines, a legend that answers the cursor.
import uPlot from "../vendor/uplot.js";
import { html, useEffect, useLayoutEffect, useRef, useSignal, useSignalEffect, useState } from "../html.js";
import { serverNow } from "../clock.js";
import { UNKNOWN, clock, digits, isKnown, quantity, scaleOf, text } from "../format.js";
import { Quantity } from "../ui/parts.js";

const HEIGHT = 168;
const SYNC = "server";
/** Bytes are counted in powers of two. */
const BINARY_STEPS = Array.from({ length: 56 }, (_, power) => 2 ** power);
/** The least a scale without a fixed top shows, so that noise near zero does not look like a storm. */
const LEAST_TOP = { bytes: 1024, "bytes/s": 1000, none: 1 };

/**
 * @typedef {object} Line
 * @property {string} name name of the column
 * @property {string} label what people call it
 * @property {number} slot colour of the entity, 1 to 6: the same on every page
 */

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** @param {{ series: import("../series.js").Series, title: string, kind: string, lines: Line[], rangeMs: number, sum?: boolean }} props */
export function Chart({ series, title, kind, lines, rangeMs, sum = false }) {
  const box = useRef(null);
  const plot = useRef(null);
  const hidden = useSignal(/** @type {string[]} */ ([]));
  const cursor = useSignal(/** @type {number | null} */ (null));
  const [asTable, setAsTable] = useState(false);
  /** What the axis counts in: one unit for the ticks, the legend and the title. */
  const scale = useSignal({ divisor: 1, unit: kind === "percent" ? "%" : "" });
  const shape = series.shape.value;
  const shown = lines.filter((line) => series.column(line.name)?.values.some((v) => v !== null));

  const data = () => [series.times, ...shown.map((line) => series.column(line.name)?.values ?? [])];
  useLayoutEffect(() => {
    if (asTable || !shown.length) return undefined;
    const make = () => {
      plot.current?.destroy();
      plot.current = new uPlot(options(box.current.clientWidth, kind, shown, hidden.value, rangeMs, cursor, scale), data(), box.current);
    };
    make();
    const resized = new ResizeObserver(() => {
      const width = box.current?.clientWidth;
      if (width && plot.current && plot.current.width !== width) plot.current.setSize({ width, height: HEIGHT });
    });
    resized.observe(box.current);
    addEventListener("watchpost-theme", make);
    return () => {
      resized.disconnect();
      removeEventListener("watchpost-theme", make);
      plot.current?.destroy();
      plot.current = null;
    };
  }, [asTable, shape, rangeMs, shown.map((line) => line.name).join()]);
  useSignalEffect(() => {
    series.version.value;
    plot.current?.setData(data());
  });
  useSignalEffect(() => {
    const off = hidden.value;
    plot.current?.batch(() => shown.forEach((line, n) => plot.current.setSeries(n + 1, { show: !off.includes(line.name) })));
  });
  useEffect(() => () => plot.current?.destroy(), []);

  series.version.value;
  const present = shown.map((line) => series.latest(line.name));
  const head = sum ? present.reduce((total, v) => (v === null ? total : (total ?? 0) + v), null) : present[0] ?? null;
  const isolate = (name, toggle) => {
    const others = shown.map((line) => line.name).filter((other) => other !== name);
    const isolated = hidden.value.length === others.length && !hidden.value.includes(name);
    if (toggle) hidden.value = hidden.value.includes(name) ? hidden.value.filter((other) => other !== name) : [...hidden.value, name];
    else hidden.value = isolated ? [] : others;
  };
  const at = cursor.value !== null && cursor.value < series.times.length ? cursor.value : null;
  const summary = `${title}, ${shown.map((line, n) => `${line.label} ${text(quantity(kind, present[n]))}`).join(", ")}`;
  return html`<section class="card chart">
    <header>
      <h3>${title}${scale.value.unit ? html` <span class="sub">${scale.value.unit}</span>` : null}</h3>
      ${at === null ? null : html`<span class="at">${clock(series.times[at] * 1000, true)}</span>`}
      <span class="now"><${Quantity} shown=${quantity(kind, head)} /></span>
      <button class="icon-button small" type="button" aria-pressed=${asTable} aria-label=${asTable ? "Show as chart" : "Show as table"} title=${asTable ? "Show as chart" : "Show as table"} onClick=${() => setAsTable(!asTable)}>
        <svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">${asTable ? html`<path class="line" d="m2 12 4-6 3 4 5-7" />` : html`<path class="line" d="M2 3.5h12M2 8h12M2 12.5h12M6 3.5v9" />`}</svg>
      </button>
    </header>
    ${!shown.length
      ? html`<div class="plot none">${series.ready.value ? "Not reported by this server" : ""}</div>`
      : asTable
        ? html`<${Values} series=${series} kind=${kind} lines=${shown} />`
        : html`<div class="plot" ref=${box} role="img" aria-label=${summary}></div>`}
    <ul class="legend">
      ${shown.map((line, n) => html`<li key=${line.name}>
        <button type="button" aria-pressed=${!hidden.value.includes(line.name)} class=${hidden.value.includes(line.name) ? "off" : ""}
          title="Click shows this alone, Ctrl-click hides it" onClick=${(event) => isolate(line.name, event.ctrlKey || event.metaKey)}>
          <span class=${`swatch s${line.slot}`} aria-hidden="true"></span>${line.label}
          <span class="value">${inUnit(at === null ? present[n] : series.column(line.name)?.values[at], kind, scale.value.divisor)}</span>
        </button>
      </li>`)}
    </ul>
  </section>`;
}

/** A value in the unit of the axis, as many decimals as the unit is worth. */
function inUnit(value, kind, divisor) {
  if (!isKnown(value)) return UNKNOWN;
  return kind === "percent" ? value.toFixed(1) : digits(value / divisor);
}

/** The newest values as a table: for screen readers, and for copying. */
function Values({ series, kind, lines }) {
  const from = Math.max(0, series.times.length - 60);
  const rows = series.times.slice(from).map((time, n) => ({ time, at: from + n })).reverse();
  return html`<div class="plot values" tabindex="0"><table>
    <thead><tr><th scope="col">Time</th>${lines.map((line) => html`<th key=${line.name} scope="col">${line.label}</th>`)}</tr></thead>
    <tbody>${rows.map(({ time, at }) => html`<tr key=${time}><th scope="row">${clock(time * 1000, true)}</th>
      ${lines.map((line) => html`<td key=${line.name}>${text(quantity(kind, series.column(line.name)?.values[at]))}</td>`)}</tr>`)}</tbody>
  </table></div>`;
}

function options(width, kind, lines, hidden, rangeMs, cursor, scale) {
  const font = `11px ${getComputedStyle(document.body).fontFamily}`;
  const axis = { stroke: color("--text-3"), font, ticks: { show: false }, grid: { stroke: color("--grid"), width: 1 } };
  return {
    width,
    height: HEIGHT,
    padding: [8, 6, 0, 0],
    legend: { show: false },
    cursor: {
      sync: { key: SYNC },
      drag: { x: false, y: false },
      points: { size: 6, width: 1.5, fill: color("--surface") },
    },
    scales: {
      x: { range: () => [(serverNow() - rangeMs) / 1000, serverNow() / 1000] },
      y: { range: (_, __, most) => (kind === "percent" ? [0, 100] : [0, Math.max((most ?? 0) * 1.1, LEAST_TOP[kind] ?? 1)]) },
    },
    series: [
      {},
      ...lines.map((line, n) => ({
        label: line.label,
        show: !hidden.includes(line.name),
        stroke: color(`--s${line.slot}`),
        width: 1.5,
        fill: n === 0 ? `${color(`--s${line.slot}`)}1a` : undefined,
        points: { show: false },
        spanGaps: false,
      })),
    ],
    axes: [
      { ...axis, size: 22, gap: 4, space: 72, values: (_, ticks) => ticks.map((tick) => clock(tick * 1000, rangeMs < 120_000)) },
      {
        ...axis,
        size: 40,
        space: 34,
        gap: 8,
        incrs: kind === "bytes" ? BINARY_STEPS : undefined,
        values: (_, ticks) => {
          const { divisor, unit } = scaleOf(kind, ticks.at(-1) ?? 0);
          if (scale.peek().unit !== unit) queueMicrotask(() => (scale.value = { divisor, unit }));
          return ticks.map((tick) => Number((tick / divisor).toPrecision(4)).toString());
        },
      },
    ],
    hooks: {
      setCursor: [(u) => {
        cursor.value = u.cursor.idx ?? null;
      }],
    },
  };
}
