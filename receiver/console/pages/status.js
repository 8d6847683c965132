// How this server itself is doing, from what it tells anybody who asks: health, version, its own metrics.
import { html, useEffect, useState } from "../html.js";
import { hello, link, roundTrip } from "../live.js";
import { Kpi, Quantity, Skeleton } from "../ui/parts.js";
import { clock, quantity } from "../format.js";

const REFRESH_MS = 5000;
const ROWS_MAX = 400;

export function StatusPage() {
  const [found, setFound] = useState(null);
  useEffect(() => {
    let stopped = false;
    let timer = 0;
    const look = async () => {
      const [ready, metrics] = await Promise.all([ask("/-/ready"), ask("/metrics")]);
      if (stopped) return;
      setFound({ ready, metrics: metrics?.ok ? parse(metrics.text) : null, at: Date.now() });
      timer = setTimeout(look, REFRESH_MS);
    };
    look();
    return () => {
      stopped = true;
      clearTimeout(timer);
    };
  }, []);
  if (!found) return html`<h1 class="hidden">Status</h1><${Skeleton} rows="4" />`;
  const total = (name) => found.metrics?.filter((sample) => sample.name === name).reduce((all, sample) => (all ?? 0) + sample.value, null) ?? null;
  return html`
    <h1 class="hidden">Status</h1>
    <div class="kpis four">
      <${Kpi} label="Receiver" note=${found.ready ? found.ready.text.trim() : "No answer"}>${found.ready?.ok ? "Ready" : "Not ready"}<//>
      <${Kpi} label="Version" note="Of this receiver">${hello.value?.server ?? "—"}<//>
      <${Kpi} label="Round trip" note=${link.value === "live" ? "Live connection" : "Not connected"}><${Quantity} shown=${roundTrip.value === null ? null : { number: String(roundTrip.value), unit: "ms" }} /><//>
      <${Kpi} label="Watching now" note=${`${total("live_subscriptions") ?? "—"} subscriptions`}>${total("live_connections") ?? "—"}<//>
    </div>
    ${found.metrics ? html`<${OwnMetrics} samples=${found.metrics} at=${found.at} />` : null}`;
}

function OwnMetrics({ samples, at }) {
  const shown = samples.filter((sample) => !sample.name.endsWith("_bucket")).slice(0, ROWS_MAX);
  return html`<h2 class="section">Its own metrics <span class="sub">as of ${clock(at, true)}</span></h2>
    <div class="card table-card"><table class="plain"><thead><tr><th scope="col">Metric</th><th scope="col" class="right">Value</th></tr></thead>
      <tbody>${shown.map((sample) => html`<tr key=${sample.name + sample.labels}>
        <th scope="row"><code>${sample.name}</code><span class="sub labels">${sample.labels}</span></th>
        <td class="right">${sample.name.endsWith("_bytes") ? html`<${Quantity} shown=${quantity("bytes", sample.value)} />` : sample.value.toLocaleString("en-GB", { maximumFractionDigits: 4 })}</td>
      </tr>`)}</tbody></table></div>`;
}

async function ask(path) {
  try {
    const answer = await fetch(path, { headers: { Accept: "text/plain" } });
    return { ok: answer.ok, text: await answer.text() };
  } catch {
    return null;
  }
}

/** The samples of an exposition, as far as this page needs them. */
function parse(exposition) {
  const samples = [];
  for (const line of exposition.split("\n")) {
    const found = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{.*\})? (\S+)/.exec(line);
    if (found) samples.push({ name: found[1], labels: found[2] ?? "", value: Number(found[3]) });
  }
  return samples;
}
