// A table of live rows with sortable heads, that folds into cards where it is narrow.
import { html } from "../html.js";

/** @param {{ columns: { id: string, name: string, kind?: string, sort?: Function }[], sort: { id: string, down: boolean }, onSort: Function }} props */
export function Head({ columns, sort, onSort }) {
  return html`<thead><tr>
    ${columns.map((column) => {
      const active = sort.id === column.id;
      const direction = active ? (sort.down ? "descending" : "ascending") : undefined;
      const name = column.sort
        ? html`<button type="button" class="sort" onClick=${() => onSort(column)}>${column.name}<span class="arrow" aria-hidden="true">${active ? (sort.down ? "↓" : "↑") : ""}</span></button>`
        : column.name;
      return html`<th key=${column.id} scope="col" class=${`c-${column.id} ${column.kind ?? ""}`} aria-sort=${direction}>${name}</th>`;
    })}
  </tr></thead>`;
}

/** The next order when a head is clicked: its own, the other way round, then back to problems first. */
export function nextSort(sort, column) {
  if (sort.id !== column.id) return { id: column.id, down: column.downFirst ?? false };
  if (sort.down === (column.downFirst ?? false)) return { id: column.id, down: !sort.down };
  return { id: "problems", down: false };
}

export function Search({ value, onInput, what }) {
  return html`<label class="search">
    <svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true"><circle cx="7" cy="7" r="4.5" class="line" /><path d="m10.5 10.5 3.5 3.5" class="line" /></svg>
    <input type="search" data-search placeholder=${`Search ${what}`} aria-label=${`Search ${what}`} value=${value}
      autocomplete="off" spellcheck="false" onInput=${(event) => onInput(event.currentTarget.value)} />
    <kbd aria-hidden="true">/</kbd>
  </label>`;
}
