// Which page is shown: the path is the state, links are links.
import { signal } from "./html.js";

export const path = signal(location.pathname);
export const query = signal(new URLSearchParams(location.search));

function follow() {
  path.value = location.pathname;
  query.value = new URLSearchParams(location.search);
}

/** @param {{ replace?: boolean }} [how] */
export function go(to, { replace = false } = {}) {
  if (to === location.pathname + location.search) return;
  history[replace ? "replaceState" : "pushState"](null, "", to);
  follow();
  if (!replace) scrollTo(0, 0);
}

export function serverPath(instance) {
  return `/servers/${encodeURIComponent(instance)}`;
}

/** The server whose page a path is; null for other pages. */
export function serverOf(pathname) {
  const found = /^\/servers\/(.+)$/.exec(pathname);
  if (!found) return null;
  try {
    return decodeURIComponent(found[1]);
  } catch {
    return null;
  }
}

addEventListener("popstate", follow);
addEventListener("click", (event) => {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) {
    return;
  }
  const anchor = event.target instanceof Element ? event.target.closest("a[href]") : null;
  if (!anchor || anchor.target || anchor.origin !== location.origin || !anchor.hasAttribute("data-page")) return;
  event.preventDefault();
  go(anchor.pathname + anchor.search);
});
