// One clock for the page, set by the server's: ages are right even where the browser's clock is not.
import { signal } from "./html.js";

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

/** Ticks once a second. Read it only where an age is shown. */
export const now = signal(serverNow());

setInterval(() => {
  now.value = serverNow();
}, 1000);
