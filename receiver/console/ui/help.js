// The list of keys, as a dialog.
import { html, useEffect, useRef } from "../html.js";
import { helpIsOpen } from "./top.js";

const KEYS = [
  [["/"], "Search"],
  [["g", "s"], "Servers"],
  [["g", "m"], "Monitors"],
  [["g", "t"], "Status"],
  [["j"], "Next row"],
  [["k"], "Previous row"],
  [["Enter"], "Open the row"],
  [["["], "Previous server"],
  [["]"], "Next server"],
  [["t"], "Theme"],
  [["?"], "This list"],
];

export function Help() {
  const dialog = useRef(null);
  const open = helpIsOpen.value;
  useEffect(() => {
    if (open && !dialog.current.open) dialog.current.showModal();
    if (!open && dialog.current.open) dialog.current.close();
  }, [open]);
  return html`<dialog class="help" ref=${dialog} onClose=${() => (helpIsOpen.value = false)} aria-labelledby="help-title">
    <header><h2 id="help-title">Keyboard</h2>
      <button class="icon-button" type="button" aria-label="Close" onClick=${() => (helpIsOpen.value = false)}>
        <svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true"><path class="line" d="m3.5 3.5 9 9m0-9-9 9" /></svg>
      </button></header>
    <dl>${KEYS.map(([keys, what]) => html`<div key=${what}><dt>${keys.map((key) => html`<kbd key=${key}>${key}</kbd>`)}</dt><dd>${what}</dd></div>`)}</dl>
  </dialog>`;
}
