// The keyboard: single keys, and `g` followed by a letter.
import { servers } from "./data.js";
import { go, path, serverOf, serverPath } from "./router.js";
import { helpIsOpen, nextTheme } from "./ui/top.js";

const SEQUENCE_MS = 1200;
const PAGES = { s: "/", m: "/monitors", t: "/status" };
let prefixUntil = 0;

function moveFocus(by) {
  const rows = [...document.querySelectorAll("[data-row]")];
  if (!rows.length) return;
  const at = rows.indexOf(document.activeElement);
  const next = at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + by));
  rows[next].focus();
}

function neighbour(by) {
  const instance = serverOf(path.value);
  const names = (servers.rows.value ?? []).map((row) => row.labels.value.instance).sort();
  const at = names.indexOf(instance);
  if (at >= 0) go(serverPath(names[(at + by + names.length) % names.length]));
}

addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.metaKey || event.ctrlKey || event.altKey) return;
  const target = /** @type {HTMLElement} */ (event.target);
  if (target.matches("input, textarea, select, [contenteditable]")) {
    if (event.key === "Escape") target.blur();
    return;
  }
  const inSequence = performance.now() < prefixUntil;
  prefixUntil = 0;
  if (inSequence && PAGES[event.key]) {
    event.preventDefault();
    go(PAGES[event.key]);
    return;
  }
  const actions = {
    g: () => (prefixUntil = performance.now() + SEQUENCE_MS),
    "/": () => document.querySelector("[data-search]")?.focus(),
    j: () => moveFocus(1),
    k: () => moveFocus(-1),
    "[": () => neighbour(-1),
    "]": () => neighbour(1),
    t: nextTheme,
    "?": () => (helpIsOpen.value = true),
  };
  const action = actions[event.key];
  if (action && !helpIsOpen.value) {
    event.preventDefault();
    action();
  }
});
