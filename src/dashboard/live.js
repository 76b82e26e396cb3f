// What keeps a page fresh: the stream of ticket events, and a clock for what the stream does not
// carry. One stream for the whole page; the browser resumes it by the last event that it saw.

const NAMES = [
  "created", "adopted", "updated", "closed", "reopened", "rejected", "failed", "in_doubt", "undecided",
  "cancelled", "duplicate_detected", "verified", "merged", "conflict", "deleted",
];
// After an event a page is read again so much later: a storm costs one read, not one an event.
const SETTLE_MS = 600;
// Events that are kept for the overview.
const KEPT = 50;

const listeners = new Set();
const recent = [];
let state = "connecting";
let source = null;

const tell = (what) => listeners.forEach((listener) => listener(what));

function say(next) {
  if (state !== next) {
    state = next;
    tell({ type: "state", state });
  }
}

// Opens the stream; it opens itself again when it is cut.
export function connect() {
  source = new EventSource("/api/v1/events");
  source.onopen = () => say("live");
  source.onerror = () => {
    say("cut off");
    // A refusal closes the stream for good: then we ask again ourselves.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 5000);
  };
  for (const name of NAMES) {
    source.addEventListener(name, (message) => {
      say("live");
      let event = null;
      try {
        event = JSON.parse(message.data);
      } catch {
        return;
      }
      recent.unshift(event);
      recent.length = Math.min(recent.length, KEPT);
      tell({ type: "event", event });
    });
  }
  source.addEventListener("reset", () => tell({ type: "reset" }));
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
