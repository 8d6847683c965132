// The console: which page, what it is called, and the parts around it.
import { effect, html, render } from "./html.js";
import { down } from "./data.js";
import { connect } from "./live.js";
import { path, serverOf } from "./router.js";
import { Missing } from "./pages/missing.js";
import { Monitors } from "./pages/monitors.js";
import { Server } from "./pages/server.js";
import { Servers } from "./pages/servers.js";
import { StatusPage } from "./pages/status.js";
import { Help } from "./ui/help.js";
import { Top } from "./ui/top.js";
import "./keys.js";

function page() {
  const at = path.value;
  const instance = serverOf(at);
  if (instance !== null) return { title: instance, body: html`<${Server} key=${instance} instance=${instance} />` };
  if (at === "/") return { title: "Servers", body: html`<${Servers} />` };
  if (at === "/monitors") return { title: "Monitors", body: html`<${Monitors} />` };
  if (at === "/status") return { title: "Status", body: html`<${StatusPage} />` };
  return { title: "Not found", body: html`<${Missing} />` };
}

function App() {
  return html`<${Top} /><main id="main" tabindex="-1">${page().body}</main><${Help} />`;
}

effect(() => {
  const count = down.value;
  document.title = `${count ? `(${count}) ` : ""}${page().title} · Watchpost`;
  const icon = document.querySelector("link[rel=icon]");
  icon.dataset.plain ??= icon.getAttribute("href");
  icon.href = count ? badge(count) : icon.dataset.plain;
});

/** The tab's icon with the number of what is down. */
function badge(count) {
  const shown = count > 9 ? "9+" : String(count);
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#D93A45"/><text x="16" y="23" text-anchor="middle" font-family="system-ui,sans-serif" font-weight="700" font-size="${shown.length > 1 ? 17 : 21}" fill="#fff">${shown}</text></svg>`;
  return `data:image/svg+xml,${encodeURIComponent(svg)}`;
}

render(html`<${App} />`, document.getElementById("app"));
connect();
