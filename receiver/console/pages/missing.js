// There is no such page.
import { html } from "../html.js";
import { Empty } from "../ui/parts.js";

export function Missing() {
  return html`<${Empty} title="There is no such page">
    <p>The address may have been mistyped, or what it showed is gone.</p>
    <p><a class="button" href="/" data-page>All servers</a></p>
  <//>`;
}
