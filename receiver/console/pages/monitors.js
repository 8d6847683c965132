// Everything that is probed: does it answer, how fast, for how long is its certificate good.
import { html, useState } from "../html.js";
import { asOf, now } from "../clock.js";
import { CHECKS_SHOWN, monitorCounts, monitors } from "../data.js";
import { UNKNOWN, duration, latency, quantity } from "../format.js";
import { Bars } from "../charts/bars.js";
import { SEVERITY, certificateDays, isSilent, monitorState } from "../state.js";
import { Head, Search, nextSort } from "../ui/grid.js";
import { compareBy, useStableOrder } from "../ui/order.js";
import { Empty, Kpi, Quantity, Refused, Skeleton, Status } from "../ui/parts.js";

const name = (row) => row.labels.peek().instance.toLowerCase();
const severity = (row) => SEVERITY.indexOf(monitorState(row, asOf.peek()).severity);

const COLUMNS = [
  { id: "status", name: "Status", sort: severity },
  { id: "name", name: "Monitor", sort: name },
  { id: "bars", name: `Last ${CHECKS_SHOWN} checks` },
  { id: "latency", name: "Latency", kind: "right", sort: (row) => row.now.peek().values.duration ?? null, downFirst: true },
  { id: "success", name: "Succeeded", kind: "right", sort: succeeded },
  { id: "certificate", name: "Certificate", kind: "right", sort: (row) => certificateDays(row, now.peek()) },
];

/** Percent of the shown checks that succeeded. */
function succeeded(row) {
  const checks = (row.past.success ?? []).filter((check) => check.v !== null);
  return checks.length ? (100 * checks.filter((check) => check.v > 0).length) / checks.length : null;
}

export function Monitors() {
  const [search, setSearch] = useState("");
  const [sort, setSort] = useState({ id: "problems", down: false });
  const all = monitors.rows.value;
  const wanted = search.trim().toLowerCase();
  const matching = (all ?? []).filter((row) => !wanted || Object.values(row.labels.value).some((label) => label.toLowerCase().includes(wanted)));
  const column = COLUMNS.find((candidate) => candidate.id === sort.id);
  const forward = column ? compareBy(column.sort, name) : compareBy(severity, name);
  const { rows, hover } = useStableOrder(matching, sort.down ? (a, b) => forward(b, a) : forward, `${sort.id} ${sort.down} ${wanted}`);
  if (monitors.error.value) return html`<${Refused} error=${monitors.error.value} />`;
  if (all === null) return html`<h1 class="hidden">Monitors</h1><${Skeleton} rows="6" />`;
  if (all.length === 0) return html`<${NoMonitors} />`;
  return html`
    <h1 class="hidden">Monitors</h1>
    <${Totals} rows=${all} />
    <div class="bar">
      <${Search} value=${search} onInput=${setSearch} what="monitors" />
      <span class="count">${rows.length === all.length ? `${all.length} monitor${all.length === 1 ? "" : "s"}` : `${rows.length} of ${all.length} monitors`}${monitors.more.value ? `, ${monitors.more.value} more not shown` : ""}</span>
    </div>
    <div class="card table-card" ...${hover}>
      <table class="grid monitors">
        <${Head} columns=${COLUMNS} sort=${sort} onSort=${(clicked) => setSort(nextSort(sort, clicked))} />
        <tbody>${rows.map((row) => html`<${MonitorRow} key=${row.key} row=${row} />`)}</tbody>
      </table>
      ${rows.length ? null : html`<p class="nothing">No monitor matches “${search}”.</p>`}
    </div>`;
}

function MonitorRow({ row }) {
  const { instance, job } = row.labels.value;
  const { t, values } = row.now.value;
  const state = monitorState(row, asOf.value);
  const down = state.severity === "crit" || state.severity === "unknown";
  const { host, rest } = parted(instance);
  const share = succeeded(row);
  const code = values.http_status ? ` · ${values.http_status}` : "";
  return html`<tr class=${state.severity === "unknown" ? "silent" : ""}>
    <td class="c-status"><${Status} state=${state} /></td>
    <th scope="row" class="c-name"><span class="row-focus" tabindex="0" data-row><span class="name">${host}</span> <span class="sub">${rest}${rest ? " · " : ""}${job}${code}</span></span></th>
    <td class="c-bars"><${Bars} checks=${row.past.success} durations=${row.past.duration} count=${CHECKS_SHOWN} /></td>
    <td class="c-latency right" data-name="Latency"><${Quantity} shown=${down ? null : latency(values.duration)} /></td>
    <td class="c-success right" data-name="Succeeded"><${Quantity} shown=${share === null ? null : { number: share.toFixed(share === 100 ? 0 : 1), unit: "%" }} /></td>
    <td class="c-certificate right" data-name="Certificate">${state.severity === "unknown" && t !== null && isSilent(row, asOf.value) ? `Last seen ${duration((now.value - t) / 1000)} ago` : html`<${Certificate} days=${certificateDays(row, now.value)} />`}</td>
  </tr>`;
}

function Certificate({ days }) {
  if (days === null) return html`<span class="unknown">${UNKNOWN}</span>`;
  if (days < 0) return html`<span class="crit-text">Expired</span>`;
  return html`<span class=${days < 14 ? "warn-text" : ""}><${Quantity} shown=${{ number: String(Math.floor(days)), unit: "d" }} /></span>`;
}

function Totals({ rows }) {
  const counts = monitorCounts.value;
  const live = rows.filter((row) => !isSilent(row, asOf.value));
  const durations = live.map((row) => row.now.value.values.duration).filter((v) => typeof v === "number").sort((a, b) => a - b);
  const median = durations.length ? durations[Math.floor(durations.length / 2)] : null;
  const slowest = live.reduce((worst, row) => ((row.now.value.values.duration ?? -1) > (worst?.now.value.values.duration ?? -1) ? row : worst), null);
  const expiring = live.reduce((first, row) => {
    const days = certificateDays(row, now.value);
    return days !== null && days < (first?.days ?? Infinity) ? { days, row } : first;
  }, null);
  const host = (row) => (row ? parted(row.labels.value.instance).host : "");
  return html`<div class="kpis four">
    <${Kpi} label="Monitors up" note=${counts.crit ? `${counts.crit} down` : "All well"}>${counts.up + counts.warn}<span class="unit">/${counts.total}</span><//>
    <${Kpi} label="Median latency" note="Of the last check of each"><${Quantity} shown=${latency(median)} /><//>
    <${Kpi} label="Slowest" note=${host(slowest)}><${Quantity} shown=${latency(slowest?.now.value.values.duration)} /><//>
    <${Kpi} label="Next certificate" note=${host(expiring?.row)}><${Quantity} shown=${expiring ? { number: String(Math.max(0, Math.floor(expiring.days))), unit: "d" } : null} /><//>
  </div>`;
}

function NoMonitors() {
  return html`<${Empty} title="Waiting for the first check…" waits>
    <p>This page shows everything that is probed, as soon as the first result arrives: anything with the series <code>probe_success</code>.</p>
    <div class="how"><p>From a Prometheus that scrapes blackbox_exporter or <code>watchpost-blackbox</code>:</p>
<pre><code>remote_write:
  - url: ${location.origin}/api/v1/write</code></pre></div>
  <//>`;
}

/** A target's host, and how it is reached. */
function parted(instance) {
  const [, scheme, host, path] = /^(?:([a-z][a-z0-9+.-]*):\/\/)?([^/]*)(.*)$/.exec(instance);
  const rest = [scheme, path && path !== "/" ? path : ""].filter(Boolean).join(" ");
  return { host: host || instance, rest };
}
