// Messages that could not be read: look, mend, replay, discard.

import { h, fill } from "../dom.js";
import { get, post, at } from "../api.js";
import { badge, local, number, plain, time, DASH } from "../format.js";
import { act, facts, forced, head, link, list } from "../parts.js";
import { dialog, field } from "../dialog.js";
import { toast } from "../dialog.js";

const columns = [
  { name: "n", label: "No.", num: true, cell: (it) => link(`parked/${it.n}`, it.n), sort: (it) => it.n },
  { name: "at", label: "Parked", cell: (it) => time(it.at), sort: (it) => it.at },
  { name: "inlet", label: "Came in at", cell: (it) => h("code", it.inlet), sort: (it) => it.inlet },
  { name: "why", label: "Why it could not be read", wide: true, cell: (it) => [it.field && h("code", it.field), it.field && ": ", it.reason] },
  { name: "type", label: "Content type", cell: (it) => plain(it.content_type) },
  { name: "bytes", label: "Bytes", num: true, cell: (it) => number(it.bytes), sort: (it) => it.bytes },
  { name: "mended", label: "Mended", num: true, cell: (it) => it.mended || h("span.none", DASH) },
  { name: "now", label: "Now", cell: (it) => (it.reads?.works ? badge("can be read", "ok") : it.mended ? [badge("still not", "warn"), " ", it.reads?.said] : h("span.none", DASH)) },
];

export const parked = {
  name: "parked", title: "Parked messages", label: "Parked", path: "parked", key: "p",
  open(root, ctx) {
    root.append(head("Parked messages", "Messages that could not be read. The queue went on without them. Open one to see its body and what is wrong; mend it and replay it, and it is taken as if it had been taken when it was parked."));
    list(root, ctx, {
      url: "/api/v1/parked", label: "Parked messages", columns, key: (it) => it.n,
      filters: { inlet: { label: "Came in at", placeholder: "a queue's name" } },
      empty: "Nothing is parked: every message could be read.",
    });
  },
};

// JSON in lines, as long as it is the same JSON; else the text as it came.
function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function mend(message, after) {
  const body = h("textarea.code", { rows: "14", value: pretty(message.body?.text ?? ""), spellcheck: "false" });
  const type = h("input", { type: "text", value: "application/json" });
  const force = h("input", { type: "checkbox", id: "mend-force" });
  return dialog({
    title: `Mend message ${message.n}`, verb: "Keep the mended body", inputs: { body, content_type: type, force },
    body: [h("p", "The body is replaced here; nothing is taken yet. What came is kept beside it. A body that cannot be read is refused, with the reason."),
      message.place !== null && message.place !== undefined && h("p", `Only alarm ${message.place + 1} of this message is taken from here: the others were taken when it came.`),
      message.body?.hex && h("p.banner.warn", "This body is not text. What you write takes its place whole."),
      field("Body", body), field("Content type", type),
      h("label.check", { for: force.id }, force, h("span", "Keep it also if it cannot be read."))],
    act: (values) => post(at("parked", String(message.n), "mend"), values),
    done: (answer) => (answer.reads?.works === false ? "Kept, and it still cannot be read." : "Mended: it can be read now. Replay it."),
  }).then((done) => done && after());
}

export const parkedOne = {
  name: "parked-one", under: "parked", title: "Parked message",
  open(root, ctx) {
    const [, n] = ctx.parts;
    const top = h("div");
    const body = h("div");
    root.append(top, body);
    let gone = false;
    let signature = "";
    const leave = (words) => () => {
      gone = true;
      toast(words);
      location.assign("/#/parked");
    };
    const kept = ctx.keep(async (signal) => {
      if (gone) return;
      const it = await get(at("parked", n), {}, { signal });
      const now = JSON.stringify(it);
      if (now === signature) return;
      signature = now;
      const again = () => kept.now();
      const role = "operator";
      fill(top, head(`Parked message ${it.n}`, null, [
        act("Mend…", role, () => mend(it, again), { small: false }),
        act("Replay…", role, () => forced({
          title: `Replay message ${it.n}`, verb: "Replay", danger: false, path: ["parked", n, "replay"], after: leave(`Message ${n} was taken.`),
          text: [`It is taken as if it had been taken when it was parked (${local(it.at)}), and leaves this list. If it cannot be read, it stays, and you are told why.`,
            "What came of its alarm since then is newer and stands: an alarm that is over by now is not raised again. Only an event that says its own time, and a newer one, changes anything."],
        }), { small: false }),
        act("Discard…", role, () => forced({
          title: `Discard message ${it.n}`, verb: "Discard", path: ["parked", n, "discard"], after: leave(`Message ${n} was discarded.`),
          text: ["It is thrown away. What it wanted to say is lost: if it was an alarm, no ticket comes of it."],
        }), { small: false }),
      ], [link("parked", "Parked messages"), " /"]));
      fill(body,
        it.reads?.works ? h("p.verdict.ok", it.mended ? "Mended: it can be read now. Replay it." : "It can be read now: replay it.")
          : h("p.verdict.bad", it.mended ? "Mended, and still: " : "", it.reads?.field ? [h("code", it.reads.field), ": "] : "", it.reads?.said || it.reason),
        h("section", facts([["Came in at", h("code", it.inlet)], ["Parked", time(it.at)], ["Message id", plain(it.message_id)], ["Content type", plain(it.content_type)], ["Bytes", number(it.bytes)], ["Reason when it came", [it.field && [h("code", it.field), ": "], it.reason]], Number.isInteger(it.place) && ["Of its alarms", `number ${it.place + 1}; the others were taken when it came`], it.mended ? ["Mended", `${it.mended} times`] : null])),
        h("section", h("h2", it.body?.hex ? "Body, in hexadecimal: it is not text" : "Body"), h("pre.card", { tabindex: "0", "aria-label": "Body" }, it.body?.hex || pretty(it.body?.text ?? ""))),
        it.original && h("details", h("summary", "The body as it came"), h("pre.card", { tabindex: "0", "aria-label": "The body as it came" }, it.original.hex || it.original.text)));
    }, 8000, false);
  },
};
