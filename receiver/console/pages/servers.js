// All servers at a glance, problems first.
import { html, useState } from "../html.js";
import { asOf, now } from "../clock.js";
import { SPARK_RANGE_MS, monitorCounts, serverCounts, servers } from "../data.js";
import { UNKNOWN, duration, percent, quantity, text } from "../format.js";
import { Spark } from "../charts/spark.js";
import { serverPath } from "../router.js";
import { SEVERITY, isSilent, serverState } from "../state.js";
import { Head, Search, nextSort } from "../ui/grid.js";
import { compareBy, useStableOrder } from "../ui/order.js";
import { Empty, Kpi, Meter, Quantity, Refused, Skeleton, Status } from "../ui/parts.js";

const value = (name) => (row) => row.now.peek().values[name] ?? null;
const name = (row) => title(row.labels.peek()).name.toLowerCase();
const severity = (row) => SEVERITY.indexOf(serverState(row, asOf.peek()).severity);
const traffic = (row) => sum(value("received")(row), value("transmitted")(row));

const COLUMNS = [
  { id: "status", name: "Status", sort: severity },
  { id: "name", name: "Server", sort: name },
  { id: "cpu", name: "CPU", sort: value("cpu"), downFirst: true },
  { id: "memory", name: "Memory", sort: value("memory"), downFirst: true },
  { id: "disk", name: "Fullest disk", sort: value("disk"), downFirst: true },
  { id: "load", name: "Load 5m", kind: "right", sort: value("load5"), downFirst: true },
  { id: "network", name: "Network", kind: "right", sort: traffic, downFirst: true },
  { id: "spark", name: "CPU, last 30 min" },
  { id: "uptime", name: "Uptime", kind: "right", sort: (row) => negated(value("boot_time")(row)), downFirst: true },
];

export function Servers() {
  const [search, setSearch] = useState("");
  const [sort, setSort] = useState({ id: "problems", down: false });
  const all = servers.rows.value;
  const wanted = search.trim().toLowerCase();
  const matching = (all ?? []).filter((row) => !wanted || Object.values(row.labels.value).some((label) => label.toLowerCase().includes(wanted)));
  const column = COLUMNS.find((candidate) => candidate.id === sort.id);
  const compare = column ? compareBy((row) => (sort.down ? negated(column.sort(row)) : column.sort(row)), name) : compareBy(severity, name);
  const { rows, hover } = useStableOrder(matching, column && sort.down && column.id === "name" ? (a, b) => -compareBy(name)(a, b) : compare, `${sort.id} ${sort.down} ${wanted}`);
  if (servers.error.value) return html`<${Refused} error=${servers.error.value} />`;
  if (all === null) return html`<h1 class="hidden">Servers</h1><${Skeleton} rows="6" />`;
  if (all.length === 0) return html`<${NoServers} />`;
  return html`
    <h1 class="hidden">Servers</h1>
    <${Totals} rows=${all} />
    <div class="bar">
      <${Search} value=${search} onInput=${setSearch} what="servers" />
      <span class="count">${rows.length === all.length ? `${all.length} server${all.length === 1 ? "" : "s"}` : `${rows.length} of ${all.length} servers`}${servers.more.value ? `, ${servers.more.value} more not shown` : ""}</span>
    </div>
    <div class="card table-card" ...${hover}>
      <table class="grid servers">
        <${Head} columns=${COLUMNS} sort=${sort} onSort=${(clicked) => setSort(nextSort(sort, clicked))} />
        <tbody>${rows.map((row) => html`<${ServerRow} key=${row.key} row=${row} />`)}</tbody>
      </table>
      ${rows.length ? null : html`<p class="nothing">No server matches “${search}”.</p>`}
    </div>`;
}

function ServerRow({ row }) {
  const labels = row.labels.value;
  const { t, values } = row.now.value;
  const state = serverState(row, asOf.value);
  const silent = state.severity === "unknown" || values.up === 0;
  const shown = (kind, field) => (silent ? null : quantity(kind, values[field]));
  const { name: host, address } = title(labels);
  const href = serverPath(labels.instance);
  const age = t !== null && isSilent(row, asOf.value) ? `Last seen ${duration((now.value - t) / 1000)} ago` : null;
  const receives = shown("bytes/s", "received");
  const transmits = shown("bytes/s", "transmitted");
  return html`<tr class=${silent ? "silent" : ""}>
    <td class="c-status"><${Status} state=${state} /></td>
    <th scope="row" class="c-name"><a href=${href} data-page data-row><span class="name">${host}</span> <span class="sub">${address}</span></a></th>
    <td class="c-cpu" data-name="CPU"><${Meter} value=${values.cpu} shown=${shown("percent", "cpu")} label="CPU" /></td>
    <td class="c-memory" data-name="Memory"><${Meter} value=${values.memory} shown=${shown("percent", "memory")} label="Memory" /></td>
    <td class="c-disk" data-name="Disk"><${Meter} value=${values.disk} shown=${shown("percent", "disk")} label="Fullest disk" /></td>
    <td class="c-load right" data-name="Load 5m"><${Quantity} shown=${silent || values.load5 === null || values.load5 === undefined ? null : { number: values.load5.toFixed(2), unit: "" }} /></td>
    <td class="c-network right" data-name="Network" title=${receives ? `receives ${text(receives)}, transmits ${text(transmits)}` : undefined}>
      <${Quantity} shown=${silent ? null : quantity("bytes/s", sum(values.received, values.transmitted))} /></td>
    <td class="c-spark" data-name="CPU, 30 min"><${Spark} points=${row.past.cpu} now=${t ?? now.value} range=${SPARK_RANGE_MS} top=${100} label=${`CPU of ${host} over the last 30 minutes`} /></td>
    <td class="c-uptime right" data-name="Uptime">${age ?? (silent || !values.boot_time ? html`<span class="unknown">${UNKNOWN}</span>` : duration(now.value / 1000 - values.boot_time))}</td>
  </tr>`;
}

/** The numbers above the list. */
function Totals({ rows }) {
  const counts = serverCounts.value;
  const checks = monitorCounts.value;
  const live = rows.filter((row) => !isSilent(row, asOf.value) && row.now.value.values.up !== 0);
  const top = (field) => live.reduce((best, row) => {
    const v = row.now.value.values[field] ?? null;
    return v !== null && v > (best?.v ?? -1) ? { v, row } : best;
  }, null);
  const total = live.reduce((all, row) => sum(all, sum(row.now.value.values.received, row.now.value.values.transmitted)), null);
  const cpu = top("cpu");
  const disk = top("disk");
  const of = (best) => (best ? title(best.row.labels.value).name : "");
  const problems = counts.total - counts.up;
  return html`<div class="kpis">
    <${Kpi} label="Servers up" note=${problems ? `${problems} need${problems === 1 ? "s" : ""} a look` : "All well"}>${counts.up + counts.warn}<span class="unit">/${counts.total}</span><//>
    <${Kpi} label="Monitors up" href="/monitors" note=${checks.total ? (checks.crit ? `${checks.crit} down` : "All well") : "None yet"}>${checks.total ? html`${checks.up + checks.warn}<span class="unit">/${checks.total}</span>` : UNKNOWN}<//>
    <${Kpi} label="Busiest CPU" note=${of(cpu)}><${Quantity} shown=${percent(cpu?.v)} /><//>
    <${Kpi} label="Fullest disk" note=${of(disk)}><${Quantity} shown=${percent(disk?.v)} /><//>
    <${Kpi} label="Network" note="All servers, both ways"><${Quantity} shown=${quantity("bytes/s", total)} /><//>
  </div>`;
}

function NoServers() {
  return html`<${Empty} title="Waiting for the first sample…" waits>
    <p>This page shows every server that sends node-style metrics, as soon as the first sample arrives.</p>
    <div class="how"><p>From a Prometheus that scrapes node_exporter or <code>watchpost-exporter</code>:</p>
<pre><code>remote_write:
  - url: ${location.origin}/api/v1/write</code></pre></div>
    <div class="how"><p>Or this machine alone, with everything in one program:</p>
<pre><code>watchpost</code></pre></div>
  <//>`;
}

/** What people call a server, and the rest of its address. */
export function title(labels) {
  const instance = labels.instance ?? "";
  const [, host, port] = /^(.*?)(:\d+)?$/.exec(instance);
  if (labels.nodename && labels.nodename !== host) return { name: labels.nodename, address: instance };
  return { name: host || instance, address: port ?? "" };
}

function sum(a, b) {
  return a === null || a === undefined ? b ?? null : a + (b ?? 0);
}

function negated(v) {
  return typeof v === "number" ? -v : v;
}
