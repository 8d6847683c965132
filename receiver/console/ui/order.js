// The order of a live list: it must not jump about under the reader's hand.
import { useEffect, useRef, useState } from "../html.js";

const RESORT_MS = 30_000;

/**
 * The rows in order of `compare`, sorted anew when rows come or go, when `by` changes, and every half minute while
 * the pointer is elsewhere.
 */
export function useStableOrder(rows, compare, by) {
  const kept = useRef({ keys: [], by: null, of: null });
  const [, again] = useState(0);
  const hovered = useRef(false);
  useEffect(() => {
    const timer = setInterval(() => {
      if (hovered.current) return;
      kept.current.by = null;
      again((n) => n + 1);
    }, RESORT_MS);
    return () => clearInterval(timer);
  }, []);
  const keys = rows.map((row) => row.key);
  const changed = keys.length !== kept.current.of?.size || keys.some((key) => !kept.current.of.has(key));
  if (kept.current.by !== by || changed) {
    kept.current = { by, of: new Set(keys), keys: [...rows].sort(compare).map((row) => row.key) };
  }
  const byKey = new Map(rows.map((row) => [row.key, row]));
  const hover = {
    onPointerEnter: () => (hovered.current = true),
    onPointerLeave: () => (hovered.current = false),
  };
  return { rows: kept.current.keys.map((key) => byKey.get(key)), hover };
}

/** A comparison by several keys in turn; unknown values last. */
export function compareBy(...keys) {
  return (a, b) => {
    for (const key of keys) {
      const [left, right] = [key(a), key(b)];
      if (left === right) continue;
      if (left === null || left === undefined) return 1;
      if (right === null || right === undefined) return -1;
      return left < right ? -1 : 1;
    }
    return 0;
  };
}
