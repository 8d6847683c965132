// What every page needs: the two lists are always subscribed, for the pages and for the number in the title.
import { computed } from "./html.js";
import { now } from "./clock.js";
import { Rows } from "./rows.js";
import { monitorState, serverState } from "./state.js";

const SPARK_POINTS = 60;
const SPARK_BUCKET_MS = 30_000;
export const SPARK_RANGE_MS = SPARK_POINTS * SPARK_BUCKET_MS;
export const CHECKS_SHOWN = 40;

export const servers = new Rows(
  { view: "servers", range: "30m", step: "30s", points: SPARK_POINTS },
  { fields: ["cpu"], keep: SPARK_POINTS, bucketMs: SPARK_BUCKET_MS },
);
export const monitors = new Rows(
  { view: "monitors", range: "6h", points: CHECKS_SHOWN },
  { fields: ["success", "duration"], keep: CHECKS_SHOWN },
);

function counts(rows, stateOf) {
  const found = { total: 0, up: 0, crit: 0, warn: 0, unknown: 0 };
  for (const row of rows.value ?? []) {
    found.total += 1;
    found[stateOf(row, now.value).severity] += 1;
  }
  return found;
}

export const serverCounts = computed(() => counts(servers.rows, serverState));
export const monitorCounts = computed(() => counts(monitors.rows, monitorState));

/** What is down: shown in the title and the tab's icon. */
export const down = computed(() => serverCounts.value.crit + monitorCounts.value.crit);
