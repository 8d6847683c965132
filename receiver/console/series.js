// The view of one server as columns over one time axis, as charts want them.
import { batch, signal } from "./html.js";
import { eachValue, number, subscribe } from "./live.js";

/** A pause of more than this many steps is a gap. */
const GAP_STEPS = 2.6;

export class Series {
  /** @param {object} request the subscription  @param {number} rangeMs how much to keep */
  constructor(request, rangeMs) {
    this.rangeMs = rangeMs;
    /** Times in seconds, ascending. @type {number[]} */
    this.times = [];
    /** @type {Map<number, { labels: Record<string, string>, unit: string, values: (number | null)[] }>} */
    this.columns = new Map();
    this.stepMs = 1000;
    /** Grows with every change; read it to follow. */
    this.version = signal(0);
    /** Grows when columns come or go. */
    this.shape = signal(0);
    this.ready = signal(false);
    this.error = signal(null);
    this.newest = signal(/** @type {number | null} */ (null));
    this.subscription = subscribe(request, {
      snap: (snap) => this.snap(snap),
      update: (update) => this.update(update),
      series: (change) => this.series(change),
      refused: (error) => {
        this.error.value = error;
      },
    });
  }

  close() {
    this.subscription.close();
  }

  snap(snap) {
    const columns = snap.cols.map((column) => column.map(number));
    const n = columns.reduce((most, column) => Math.max(most, column.length), 0);
    const past = columns.filter((column) => column.length === n);
    const isEmpty = (at) => past.every((column) => column[at] === null);
    // Before the first sample there is nothing to draw; behind the newest is the place of what comes late.
    let from = 0;
    let to = n;
    while (from < to && isEmpty(from)) from += 1;
    while (from < to && isEmpty(to - 1)) to -= 1;
    this.stepMs = snap.step;
    this.times = Array.from({ length: to - from }, (_, at) => (snap.t0 + (from + at) * snap.step) / 1000);
    this.columns = new Map();
    snap.series.forEach((entry, at) => {
      const column = columns[at];
      // Without a past only the present value is sent.
      const values = column.length === n ? column.slice(from, to) : Array(to - from).fill(null);
      if (column.length < n && values.length) values[values.length - 1] = column.at(-1) ?? null;
      this.columns.set(entry.i, { labels: entry.m, unit: entry.u, values });
    });
    batch(() => {
      this.ready.value = true;
      this.error.value = null;
      this.newest.value = this.times.length ? this.times[this.times.length - 1] * 1000 : null;
      this.shape.value += 1;
      this.version.value += 1;
    });
  }

  series(change) {
    for (const i of change.del) this.columns.delete(i);
    for (const entry of change.add) {
      const values = this.columns.get(entry.i)?.values ?? Array(this.times.length).fill(null);
      this.columns.set(entry.i, { labels: entry.m, unit: entry.u, values });
    }
    this.shape.value += 1;
  }

  update(update) {
    const seconds = update.t / 1000;
    const last = this.times[this.times.length - 1];
    if (last !== undefined && seconds < last) return;
    if (last === undefined || seconds > last) {
      if (last !== undefined && (seconds - last) * 1000 > GAP_STEPS * this.stepMs) {
        this.push(last + this.stepMs / 1000);
      }
      this.push(seconds);
    }
    eachValue(update, (i, _, v) => {
      const column = this.columns.get(i);
      if (column) column.values[column.values.length - 1] = v;
    });
    while (this.times.length && this.times[0] < seconds - this.rangeMs / 1000) this.shift();
    batch(() => {
      this.newest.value = update.t;
      this.version.value += 1;
    });
  }

  push(seconds) {
    this.times.push(seconds);
    for (const column of this.columns.values()) column.values.push(null);
  }

  shift() {
    this.times.shift();
    for (const column of this.columns.values()) column.values.shift();
  }

  /** The column of a name. */
  column(name) {
    for (const column of this.columns.values()) if (column.labels.name === name) return column;
    return null;
  }

  /** Its present value; null when there is none. */
  latest(name) {
    return this.column(name)?.values.at(-1) ?? null;
  }

  /** The labels that say who the server is. */
  identity() {
    return this.column("up")?.labels ?? {};
  }

  /** File systems with their present use, fullest first. */
  filesystems() {
    const sizes = new Map();
    const found = [];
    for (const { labels, values } of this.columns.values()) {
      if (labels.name === "filesystem_size") sizes.set(labels.mountpoint, values.at(-1) ?? null);
    }
    for (const { labels, values } of this.columns.values()) {
      if (labels.name !== "filesystem_used") continue;
      const used = values.at(-1) ?? null;
      found.push({ mountpoint: labels.mountpoint, device: labels.device, used, size: sizes.get(labels.mountpoint) });
    }
    return found.sort((a, b) => (b.used ?? -1) - (a.used ?? -1) || a.mountpoint.localeCompare(b.mountpoint));
  }
}
