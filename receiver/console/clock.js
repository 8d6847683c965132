// One clock for the page, set by the server's: ages are right even where the browser's clock is not.
import { computed, signal } from "./html.js";

let offsetMs = 0;

/** @param {number} serverNowMs what the server's clock says at this moment */
export function setClock(serverNowMs) {
  offsetMs = serverNowMs - Date.now();
  now.value = serverNow();
}

/** The server's time in milliseconds since 1970. */
export function serverNow() {
  return Date.now() + offsetMs;
}

/** Longer than this after the server was last heard, nothing new is known: a heartbeat and a little. */
const HEARD_MS = 16_000;
const heard = signal(serverNow());

/** Notes that the server was heard just now. */
export function hear() {
  const at = serverNow();
  // Once a second is enough, and wakes nobody who follows `asOf`.
  if (at - heard.peek() >= 1000) heard.value = at;
}

/** Ticks once a second. Read it only where an age is shown. */
export const now = signal(serverNow());

/** Up to when something is known: the present, or when the connection was lost. States are judged by it, so that a
 * server does not look dead because this page is cut off. */
export const asOf = computed(() => Math.min(now.value, heard.value + HEARD_MS));

setInterval(() => {
  now.value = serverNow();
}, 1000);
