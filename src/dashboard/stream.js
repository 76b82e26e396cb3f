// The stream of ticket events. It opens itself again when it is cut, from the last event that was seen.

const NAMES = [
  "created", "adopted", "updated", "closed", "reopened", "rejected", "failed", "in_doubt", "undecided",
  "cancelled", "duplicate_detected", "verified", "merged", "conflict", "deleted",
];
// A refusal closes a stream for good: then it is asked for anew.
const AGAIN_MS = 5000;

// Tells of {type: "state", state}, {type: "event", event} and {type: "reset"}; gives what closes it.
export function open(tell) {
  let source = null;
  let timer = 0;
  function begin() {
    source = new EventSource("/api/v1/events");
    source.onopen = () => tell({ type: "state", state: "live" });
    source.onerror = () => {
      tell({ type: "state", state: "cut off" });
      if (source.readyState === EventSource.CLOSED) timer = setTimeout(begin, AGAIN_MS);
    };
    for (const name of NAMES) {
      source.addEventListener(name, (message) => {
        try {
          tell({ type: "event", event: JSON.parse(message.data) });
        } catch {
          // What is no event tells nothing.
        }
      });
    }
    source.addEventListener("reset", () => tell({ type: "reset" }));
  }
  begin();
  return () => {
    clearTimeout(timer);
    source.close();
  };
}
