// A view of rows (servers, monitors) as signals: an update touches only the rows it is about.
import { batch, signal } from "./html.js";
import { eachValue, number, subscribe } from "./live.js";

/**
 * @typedef {object} Row
 * @property {string} key stays the same while the row exists
 * @property {import("./vendor/signals.js").Signal<Record<string, string>>} labels
 * @property {import("./vendor/signals.js").Signal<{ t: number | null, values: Record<string, number | null> }>} now
 * @property {Record<string, { t: number, v: number | null }[]>} past by field, for those with history
 * @property {number | null} intervalMs how often it reports; null before it is known
 */

export class Rows {
  /**
   * @param {object} request the subscription
   * @param {{ fields: string[], keep: number, bucketMs?: number }} past fields whose history is kept, points of each;
   *   points in one bucket of time replace each other
   */
  constructor(request, past) {
    this.past = past;
    /** null until the first snapshot. @type {import("./vendor/signals.js").Signal<Row[] | null>} */
    this.rows = signal(null);
    this.more = signal(0);
    this.error = signal(null);
    /** @type {Map<number, Row>} by index of the first value */
    this.byBase = new Map();
    this.fields = [];
    this.subscription = subscribe(request, {
      snap: (snap) => this.snap(snap),
      update: (update) => this.update(update),
      series: (change) => this.series(change),
      refused: (error) => {
        this.error.value = error;
      },
    });
  }

  snap(snap) {
    this.fields = snap.fields.map((field) => field.name);
    const old = this.byBase;
    this.byBase = new Map();
    let at = 0;
    batch(() => {
      for (const entry of snap.series) {
        const row = this.adopt(entry, old.get(entry.i));
        const values = { ...row.now.value.values };
        let newest = row.now.value.t;
        for (const name of this.fields) {
          const column = snap.cols[at].map(number);
          const times = snap.ts?.[at] ?? null;
          at += 1;
          const timeOf = (n) => snap.t0 + (times ? times[n] : (n - column.length + this.points(snap)) * snap.step);
          values[name] = column.length ? column[column.length - 1] : null;
          if (!this.past.fields.includes(name)) continue;
          row.past[name] = column.map((v, n) => ({ t: timeOf(n), v }));
          if (values[name] !== null && column.length) newest = Math.max(newest ?? 0, timeOf(column.length - 1));
        }
        row.now.value = { t: newest, values };
      }
      this.more.value = snap.more ?? 0;
      this.error.value = null;
      this.publish();
    });
  }

  points(snap) {
    return snap.cols.reduce((most, column, at) => (snap.ts?.[at] ? most : Math.max(most, column.length)), 0);
  }

  /** A row for an entry, the one known before if it is the same. */
  adopt(entry, known) {
    const key = JSON.stringify([entry.m.instance, entry.m.job ?? ""]);
    let row = known;
    if (!row || row.labels.value.instance !== entry.m.instance) {
      row = { key, labels: signal(entry.m), now: signal({ t: null, values: {} }), past: {}, intervalMs: null };
    } else {
      row.labels.value = entry.m;
    }
    this.byBase.set(entry.i, row);
    return row;
  }

  publish() {
    this.rows.value = [...this.byBase.values()];
  }

  series(change) {
    batch(() => {
      for (const i of change.del) this.byBase.delete(i);
      for (const entry of change.add) this.adopt(entry, this.byBase.get(entry.i));
      this.publish();
    });
  }

  update(update) {
    const width = this.fields.length;
    const touched = new Map();
    eachValue(update, (i, t, v) => {
      const base = i - (i % width);
      const row = this.byBase.get(base);
      if (!row) return;
      const name = this.fields[i - base];
      let change = touched.get(row);
      if (!change) touched.set(row, (change = { t, values: {} }));
      change.t = Math.max(change.t, t);
      change.values[name] = v;
      if (this.past.fields.includes(name)) this.remember((row.past[name] ??= []), t, v);
    });
    batch(() => {
      for (const [row, change] of touched) {
        const before = row.now.value;
        if (before.t !== null && change.t > before.t) row.intervalMs = change.t - before.t;
        row.now.value = { t: Math.max(before.t ?? 0, change.t), values: { ...before.values, ...change.values } };
      }
    });
  }

  remember(past, t, v) {
    const bucket = this.past.bucketMs ?? 1;
    const last = past[past.length - 1];
    if (last && t <= last.t) {
      if (t === last.t) last.v = v;
      return;
    }
    if (last && Math.floor(last.t / bucket) === Math.floor(t / bucket)) past.pop();
    past.push({ t, v });
    if (past.length > this.past.keep) past.shift();
  }
}
