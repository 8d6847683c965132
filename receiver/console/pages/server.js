// One server: what it is doing now and did lately.
import { html, useEffect, useMemo } from "../html.js";
import { now } from "../clock.js";
import { servers } from "../data.js";
import { UNKNOWN, duration, quantity, text } from "../format.js";
import { Chart } from "../charts/chart.js";
import { go, query, serverPath } from "../router.js";
import { Series } from "../series.js";
import { serverState } from "../state.js";
import { Empty, Meter, Quantity, Refused, Status } from "../ui/parts.js";
import { title } from "./servers.js";

const RANGES = { "5m": 300_000, "15m": 900_000, "1h": 3_600_000, "6h": 21_600_000 };
const RANGE_DEFAULT = "15m";

const CPU = [
  { name: "cpu_user", label: "user", slot: 1 },
  { name: "cpu_system", label: "system", slot: 2 },
  { name: "cpu_iowait", label: "iowait", slot: 3 },
  { name: "cpu_steal", label: "steal", slot: 4 },
  { name: "cpu_other", label: "other", slot: 5 },
];
const MEMORY = [
  { name: "memory_used", label: "used", slot: 1 },
  { name: "memory_cached", label: "cached", slot: 2 },
  { name: "swap_used", label: "swap", slot: 3 },
];
const NETWORK = [
  { name: "received", label: "receive", slot: 1 },
  { name: "transmitted", label: "transmit", slot: 2 },
];
const DISK = [
  { name: "disk_read", label: "read", slot: 1 },
  { name: "disk_written", label: "write", slot: 2 },
];
const LOAD = [
  { name: "load1", label: "1 min", slot: 1 },
  { name: "load5", label: "5 min", slot: 2 },
  { name: "load15", label: "15 min", slot: 3 },
];

export function Server({ instance }) {
  const range = RANGES[query.value.get("range")] ? query.value.get("range") : RANGE_DEFAULT;
  const rangeMs = RANGES[range];
  const series = useMemo(() => new Series({ view: "server", args: { server: instance }, range, points: 600 }, rangeMs), [instance, range]);
  useEffect(() => () => series.close(), [series]);
  if (series.error.value) return html`<${Refused} error=${series.error.value} />`;
  const known = servers.rows.value?.find((row) => row.labels.value.instance === instance);
  const nothing = series.ready.value && series.newest.value === null;
  return html`
    <${Heading} instance=${instance} series=${series} row=${known} range=${range} />
    ${nothing
      ? html`<${Empty} title="Waiting for the first sample…"><p>Nothing has arrived from <code>${instance}</code> in the last ${range.replace("m", " minutes").replace("1h", "hour").replace("h", " hours")}. This page fills by itself when it does.</p>
          <p><a class="button" href="/" data-page>All servers</a></p><//>`
      : series.ready.value
        ? html`<div class="charts">
            <${Chart} title="CPU by mode" kind="percent" series=${series} lines=${CPU} rangeMs=${rangeMs} sum />
            <${Chart} title="Memory" kind="bytes" series=${series} lines=${MEMORY} rangeMs=${rangeMs} />
            <${Chart} title="Network" kind="bytes/s" series=${series} lines=${NETWORK} rangeMs=${rangeMs} sum />
            <${Chart} title="Disk" kind="bytes/s" series=${series} lines=${DISK} rangeMs=${rangeMs} sum />
            <${Chart} title="Load" kind="none" series=${series} lines=${LOAD} rangeMs=${rangeMs} />
            <${Filesystems} series=${series} />
          </div>`
        : html`<div class="charts">${Array.from({ length: 6 }, (_, n) => html`<div key=${n} class="card chart waiting"></div>`)}</div>`}`;
}

function Heading({ instance, series, row, range }) {
  series.version.value;
  const labels = { instance, ...series.identity(), ...(row?.labels.value ?? {}) };
  const { name, address } = title(labels);
  const boot = series.latest("boot_time");
  const memory = series.latest("memory_total");
  const facts = [
    labels.job,
    boot ? `up ${duration(now.value / 1000 - boot)}` : null,
    memory ? `${text(quantity("bytes", memory))} memory` : null,
    series.newest.value === null ? null : `a point every ${duration(series.stepMs / 1000)}`,
  ].filter(Boolean);
  return html`<header class="heading">
    <div class="who">
      <nav class="crumbs" aria-label="Breadcrumb"><a href="/" data-page>Servers</a><span aria-hidden="true">/</span></nav>
      <h1>${name}${address ? html` <span class="sub">${address}</span>` : null}</h1>
      ${row ? html`<${Status} state=${serverState(row, now.value)} />` : null}
      <p class="facts">${facts.length ? facts.join(" · ") : UNKNOWN}</p>
    </div>
    <div class="ranges" role="group" aria-label="Time range">
      ${Object.keys(RANGES).map((key) => html`<button key=${key} type="button" aria-pressed=${key === range}
        onClick=${() => go(`${serverPath(instance)}${key === RANGE_DEFAULT ? "" : `?range=${key}`}`, { replace: true })}>${key}</button>`)}
    </div>
  </header>`;
}

function Filesystems({ series }) {
  series.version.value;
  const found = series.filesystems();
  return html`<section class="card chart filesystems">
    <header><h3>File systems</h3><span class="now"><${Quantity} shown=${found.length ? { number: String(found.length), unit: "" } : null} /></span></header>
    ${found.length
      ? html`<div class="fs-list" tabindex="0" aria-label="File systems, fullest first"><table><tbody>
          ${found.map((fs) => html`<tr key=${fs.mountpoint} title=${fs.device}>
            <th scope="row">${fs.mountpoint}</th>
            <td class="c-size right"><${Quantity} shown=${quantity("bytes", fs.size)} /></td>
            <td class="c-used"><${Meter} value=${fs.used} shown=${quantity("percent", fs.used)} label=${`${fs.mountpoint} used`} /></td>
          </tr>`)}</tbody></table></div>`
      : html`<div class="plot none">Not reported by this server</div>`}
  </section>`;
}
