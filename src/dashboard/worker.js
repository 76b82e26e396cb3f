// One stream for all tabs of a browser: over HTTP/1.1 it opens six connections to a service at most, and
// six tabs with a stream each would leave none for anything else.

import { open } from "./stream.js";

const ports = new Set();
let state = "connecting";

open((what) => {
  if (what.type === "state") state = what.state;
  ports.forEach((port) => port.postMessage(what));
});

self.onconnect = ({ ports: [port] }) => {
  ports.add(port);
  port.onmessage = () => ports.delete(port);
  port.postMessage({ type: "state", state });
};
