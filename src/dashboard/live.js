// What keeps a page fresh: the stream of ticket events, and a clock for what the stream does not
// carry.

import { open } from "./stream.js";

// After an event a page is read again so much later: a storm costs one read, not one an event.
const SETTLE_MS = 600;
// Events that are kept for the overview.
const KEPT = 50;

const listeners = new Set();
const recent = [];
let state = "connecting";

const tell = (what) => listeners.forEach((listener) => listener(what));

function say(next) {
  if (state !== next) {
    state = next;
    tell({ type: "state", state });
  }
}

function hear(what) {
  if (what.type === "state") {
    say(what.state);
    return;
  }
  if (what.type === "event") {
    recent.unshift(what.event);
    recent.length = Math.min(recent.length, KEPT);
  }
  tell(what);
}

// Hears the stream that all tabs share, or one of its own where a browser has no shared workers. A page
// that is left gives it back: kept for a way back, it would hold its connection.
export function connect() {
  let leave = null;
  const alone = () => {
    leave = open(hear);
  };
  if (window.SharedWorker) {
    const worker = new SharedWorker("/dashboard/worker.js", { type: "module", name: "ticketgate" });
    worker.onerror = alone;
    worker.port.onmessage = (message) => hear(message.data);
    leave = () => worker.port.postMessage("bye");
  } else alone();
  addEventListener("pagehide", () => leave());
  addEventListener("pageshow", (event) => event.persisted && location.reload());
}

export const stream = () => state;
export const recentEvents = () => recent;
export function listen(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

// Calls `load` now, after events, and every `every` ms while the page can be seen. `failed` hears of
// each failure, and of success with null. Gives back what stops it.
export function keep(load, every, failed, onEvents = true) {
  let stopped = false;
  let running = false;
  let again = false;
  let timer = 0;
  let soon = 0;
  const abort = new AbortController();

  async function run() {
    if (stopped) return;
    if (running) {
      again = true;
      return;
    }
    running = true;
    clearTimeout(timer);
    try {
      await load(abort.signal);
      failed(null);
    } catch (error) {
      if (!stopped && error.name !== "AbortError") failed(error);
    }
    running = false;
    if (stopped) return;
    if (again) {
      again = false;
      run();
    } else if (!document.hidden && every) {
      timer = setTimeout(run, every);
    }
  }
  const wake = () => !document.hidden && run();
  const unlisten = listen((what) => {
    if (!onEvents || what.type === "state" || soon || document.hidden) return;
    soon = setTimeout(() => {
      soon = 0;
      run();
    }, SETTLE_MS);
  });
  document.addEventListener("visibilitychange", wake);
  const first = run();
  return {
    now: run,
    first,
    stop() {
      stopped = true;
      abort.abort();
      unlisten();
      clearTimeout(timer);
      clearTimeout(soon);
      document.removeEventListener("visibilitychange", wake);
    },
  };
}
