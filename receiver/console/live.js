// The client of the live protocol (receiver/docs/live.md): one socket for the page, however many subscriptions.
import { signal } from "./html.js";
import { setClock } from "./clock.js";

const PROTOCOL = "watchpost.live.v1+json";
const RETRY_LEAST_MS = 500;
const RETRY_MOST_MS = 30_000;
/** Nothing for this many heartbeats: the connection is dead, whatever the browser believes. */
const SILENT_HEARTBEATS = 2.5;
/** Updates a second that a hidden tab wants. */
const HIDDEN_HZ = 0.2;

/** @typedef {"connecting" | "live" | "waiting"} LinkState */

/** @type {import("./vendor/signals.js").Signal<LinkState>} */
export const link = signal("connecting");
/** What the server said of itself; null before it did. */
export const hello = signal(null);
/** Round trip in milliseconds; null before it is known. */
export const roundTrip = signal(null);

/** @type {WebSocket | null} */
let socket = null;
let attempts = 0;
let lastHeardMs = 0;
let heartbeatMs = 15_000;
let retryTimer = 0;
let nextId = 1;
const pings = new Map();
/** @type {Map<number, Subscription>} by the id of the pending request */
const asked = new Map();
/** @type {Map<number, Subscription>} by channel */
const channels = new Map();
/** @type {Set<Subscription>} */
const wanted = new Set();

/**
 * @typedef {object} Handlers
 * @property {(snap: object) => void} snap everything so far; replaces what was known
 * @property {(update: object) => void} update
 * @property {(change: object) => void} series entries came or went
 * @property {(error: { code: string, msg: string }) => void} [refused]
 */

class Subscription {
  constructor(request, handlers) {
    this.request = request;
    this.handlers = handlers;
    this.ch = null;
    this.seq = null;
    this.epoch = null;
  }

  ask() {
    const id = nextId++;
    asked.set(id, this);
    const resume = this.seq === null ? {} : { resume: { epoch: this.epoch, seq: this.seq } };
    send({ op: "sub", id, ...this.request, ...resume });
  }

  close() {
    wanted.delete(this);
    if (this.ch !== null) {
      channels.delete(this.ch);
      send({ op: "unsub", ch: this.ch });
      this.ch = null;
    }
  }
}

/** @param {Handlers} handlers */
export function subscribe(request, handlers) {
  const subscription = new Subscription(request, handlers);
  wanted.add(subscription);
  if (link.value === "live") subscription.ask();
  return subscription;
}

export function connect() {
  clearTimeout(retryTimer);
  const url = new URL("/api/v1/live", location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  link.value = attempts === 0 ? "connecting" : "waiting";
  const opened = new WebSocket(url, PROTOCOL);
  socket = opened;
  lastHeardMs = Date.now();
  let retryMs = null;
  opened.onmessage = (event) => {
    lastHeardMs = Date.now();
    const message = JSON.parse(event.data);
    if (message.op === "bye") retryMs = message.retry_ms;
    else take(message);
  };
  opened.onclose = () => {
    if (socket !== opened) return;
    socket = null;
    link.value = "waiting";
    asked.clear();
    channels.clear();
    for (const subscription of wanted) subscription.ch = null;
    const jitter = Math.random() * Math.min(RETRY_MOST_MS, RETRY_LEAST_MS * 2 ** attempts);
    attempts += 1;
    retryTimer = setTimeout(connect, retryMs ?? Math.max(RETRY_LEAST_MS, jitter));
  };
}

function send(message) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function take(message) {
  const of = channels.get(message.ch);
  switch (message.op) {
    case "hello":
      attempts = 0;
      heartbeatMs = message.hb_s * 1000;
      setClock(message.now);
      hello.value = message;
      link.value = "live";
      for (const subscription of wanted) subscription.ask();
      ping();
      break;
    case "ok": {
      const subscription = asked.get(message.id);
      asked.delete(message.id);
      if (!subscription) break;
      if (!wanted.has(subscription)) {
        send({ op: "unsub", ch: message.ch });
        break;
      }
      subscription.ch = message.ch;
      subscription.epoch = hello.value.epoch;
      channels.set(message.ch, subscription);
      if (document.hidden) send({ op: "rate", ch: message.ch, max_hz: HIDDEN_HZ });
      break;
    }
    case "snap":
      if (of) {
        of.seq = message.seq;
        of.handlers.snap(message);
      }
      break;
    case "d":
      if (of) {
        of.seq = message.seq;
        of.handlers.update(message);
      }
      break;
    case "series":
      if (of) {
        of.seq = message.seq;
        of.handlers.series(message);
      }
      break;
    case "err": {
      const subscription = asked.get(message.id);
      asked.delete(message.id);
      subscription?.handlers.refused?.(message);
      // The store may be back in a moment; a wrong request stays wrong.
      if (subscription && ["busy", "unavailable"].includes(message.code)) {
        setTimeout(() => wanted.has(subscription) && subscription.ask(), 5000);
      }
      break;
    }
    case "pong": {
      const sent = pings.get(message.n);
      pings.delete(message.n);
      if (sent !== undefined) roundTrip.value = Math.round(performance.now() - sent);
      break;
    }
    case "hb":
      setClock(message.t);
      ping();
      break;
    // A gap is followed by a snapshot; messages of later versions are not ours to judge.
  }
}

function ping() {
  const n = nextId++;
  pings.clear();
  pings.set(n, performance.now());
  send({ op: "ping", n });
}

/** A value of the protocol as a number; null when there is none. */
export function number(value) {
  if (typeof value === "number" || value === null) return value;
  return { "+Inf": Infinity, "-Inf": -Infinity }[value] ?? NaN;
}

/** Calls `each(i, t, v)` for every value of an update. */
export function eachValue(update, each) {
  const { t, i, dt, v } = update;
  for (let at = 0; at < v.length; at += 1) {
    each(i ? i[at] : at, dt ? t + dt[at] : t, number(v[at]));
  }
}

setInterval(() => {
  if (socket && Date.now() - lastHeardMs > heartbeatMs * SILENT_HEARTBEATS) {
    // `close` waits for an answer that a dead connection never gives.
    const dead = socket;
    dead.close();
    dead.onclose?.(new CloseEvent("close"));
  }
}, 1000);

document.addEventListener("visibilitychange", () => {
  const max_hz = document.hidden ? HIDDEN_HZ : 1000;
  for (const ch of channels.keys()) send({ op: "rate", ch, max_hz });
  if (!document.hidden && link.value === "waiting") connect();
});
addEventListener("online", () => link.value === "waiting" && connect());
