// Undecided requests: the backend was asked, and it cannot be known whether it did it. Three answers,
// each with what it does; none does anything before a reason is given. What the backend does not bear out
// is refused, unless the person insists.

import { h, fill } from "../dom.js";
import { get, limitedTo, maybe, post, at } from "../api.js";
import { plain, span, age, DASH } from "../format.js";
import { act, emptyBox, facts, head, link, requestLink, ticketLink } from "../parts.js";
import { dialog, field } from "../dialog.js";
import { madeFor, whyOf } from "./requests.js";
import { timeline } from "./alarms.js";

const PAGE = 50;
// Fields by which a person finds a ticket at its backend.
const TELLING = ["summary", "object", "object_name", "description", "severity", "raised_at"];

const label = (name) => (name.charAt(0).toUpperCase() + name.slice(1)).replaceAll("_", " ");
// What it is about, again, where the answer is given.
const about = (request) => h("p", h("strong", plain(request.fields?.summary)), ` (${plain(request.fields?.object)})`);
const settle = (request, says) => (values) => {
  const body = { says, reason: values.reason, force: Boolean(values.force) };
  if (says === "found") body.backend_id = values.backend_id;
  return post(at("requests", request.id, "settle"), body);
};

function found(request, after) {
  const id = h("input", { type: "text", required: true, maxlength: "256", autocomplete: "off", spellcheck: "false" });
  return dialog({
    title: `It exists at ${request.backend}`, verb: "This is the ticket", inputs: { backend_id: id },
    body: [about(request), h("p", `Ticketgate takes this as the ticket of the alarm from now on: it is updated and closed like any other. Nothing is created. ${request.backend} is asked first whether it has it.`), field(`Its number at ${request.backend}`, id, "As it is shown there. A number that it does not have, or that another alarm's ticket has, is refused.")],
    act: settle(request, "found"), done: "Settled: the ticket is known now.",
  }).then((done) => done && after());
}

function done(request, ticket, after) {
  const theirs = ticket?.backend_id;
  return dialog({
    title: `The ${request.op} was done at ${request.backend}`, verb: "It was done",
    body: [about(request), h("p", `Ticketgate takes the ${request.op} of ${theirs || "the ticket"} as done: nothing more is sent for it. ${request.backend} is asked first, where it can be: if the ticket does not look like it, this is refused.`)],
    act: settle(request, "done"), done: `Settled: the ${request.op} was done.`,
  }).then((said) => said && after());
}

function absent(request, after) {
  const looked = h("input", { type: "checkbox", required: true, id: `look-${request.id}` });
  return dialog({
    title: request.op === "create" ? "It does not exist: send it again" : `It was not done: send the ${request.op} again`, verb: "Send it again", danger: true, inputs: { looked },
    body: [
      about(request),
      h("p", request.op === "create"
        ? `The create is sent to ${request.backend} once more. If the ticket is there after all, there will be two of them.`
        : `The ${request.op} is sent to ${request.backend} once more. If it was done after all, it is done twice.`),
      h("label.check", { for: looked.id }, looked, h("span", `I have looked at ${request.backend} just now, and it is not ${request.op === "create" ? "there" : "done"}.`)),
    ],
    act: settle(request, "absent"), done: "Settled: it is sent again.",
  }).then((done) => done && after());
}

function drop(request, after) {
  return dialog({
    title: "Drop it", verb: "Drop it", danger: true,
    body: [
      about(request),
      h("p", `Nothing more is sent for this ${request.op}, and it ends as cancelled.`),
      h("p", request.op === "create"
        ? "The alarm gets no ticket, also when it changes: until somebody links one, or it clears and is raised anew. A ticket that may exist at the backend is not looked after by anybody."
        : "The ticket at the backend stays as it is, which may be either way."),
    ],
    act: settle(request, "drop"), done: "Dropped: nothing more is sent.",
  }).then((done) => done && after());
}

const choice = (title, text, button) => h("div.choice", h("h3", title), h("p", text), button);

// The three answers.
export function choices(request, ticket, after) {
  const { backend, op } = request;
  const create = op === "create";
  const need = { backend, small: false };
  return h("div.choices",
    choice(create ? "It exists" : "It was done", create ? "You have found the ticket there, and can read its number. The safe answer." : `You have looked, and ${ticket?.backend_id || "the ticket"} is as it should be. The safe answer.`,
      create ? act("Enter its number…", "operator", () => found(request, after), need) : act("It was done…", "operator", () => done(request, ticket, after), need)),
    choice(create ? "It does not exist" : "It was not done", create ? `You have looked at ${backend}, and it is not there. It is sent once more.` : `You have looked at ${backend}, and it is not done. It is sent once more.`,
      act("Send it again…", "operator", () => absent(request, after), need)),
    choice("Drop it", create ? "No ticket is wanted any more, whatever became of this one." : "It does not matter any more whether it was done.",
      act("Drop it…", "operator", () => drop(request, after), need)));
}

function card(request, ticket, after) {
  const create = request.op === "create";
  const fields = request.fields || {};
  const known = TELLING.filter((name) => fields[name] !== undefined && fields[name] !== "");
  return h("article.card.doubt", { "data-request": request.id, "aria-label": `${request.op} at ${request.backend}` },
    h("div.head", h("div", h("h2", plain(fields.summary) === DASH ? `${request.op} at ${request.backend}` : plain(fields.summary)),
      h("p", `Was this ${request.op} done at ${request.backend}? It was sent ${request.attempts === 1 ? "once" : `${request.attempts} times`}, and no answer says so: ${plain(whyOf(request))}.`)),
    h("div.acts", h("span.muted", "for ", request.doubt ? span(age(request.doubt.since)) : span(age(request.accepted_at))), requestLink(request.id))),
    facts([
      ["For", madeFor(request)],
      request.op !== "create" && ["Ticket", ticketLink(request.ticket, ticket?.backend_id || "no number yet")],
      request.error && ["Why nobody knows", request.error.reason],
      ["How to find it there", ticket ? [!create && ticket.backend_id ? ["by its number ", h("code", ticket.backend_id), ", or "] : "", "search for ", h("code", ticket.correlation_key), ", or by the values below"] : "by the values below"],
      ...known.filter((name) => name !== "summary").map((name) => [label(name), plain(fields[name])]),
      request.doubt && ["Looks of ours that found nothing", request.doubt.absent_looks],
    ]),
    choices(request, ticket, after),
    h("details", h("summary", "What happened, and all that was sent"), timeline(request.steps.map((step) => ({ ...step, of: request.op }))),
      facts(Object.entries(fields).map(([name, value]) => [name, plain(value)]))));
}

export const undecided = {
  name: "undecided", title: "Undecided requests", label: "Undecided", path: "undecided", key: "u",
  open(root, ctx) {
    root.append(head("Undecided requests", "Ticketgate has asked a backend to do something, and cannot know whether it was done. It never guesses: until a person says, nothing more is sent about that ticket. Look at the backend first. All other tickets go on meanwhile."));
    const note = h("p.muted", { role: "status" });
    const holder = h("div");
    root.append(note, holder);
    const cards = new Map();
    const kept = ctx.keep(async (signal) => {
      const only = ctx.query.get("request");
      const wanted = ctx.query.get("backend");
      const asked = wanted ? [wanted] : limitedTo() || [null];
      const told = await Promise.all(asked.map((backend) => get("/api/v1/requests", { state: "undecided", order: "oldest", backend, limit: PAGE }, { signal })));
      const items = told.flatMap((one) => one.items).filter((it) => !only || it.id === only);
      const some = items.length;
      fill(note, some ? `${some}${told.some((one) => one.next) ? ", and more" : ""} to settle` : "", ctx.query.size && some ? [" · ", link("undecided", "show all")] : null);
      const seen = new Set(items.map((it) => it.id));
      for (const [id, element] of cards) {
        if (!seen.has(id)) {
          element.remove();
          cards.delete(id);
        }
      }
      holder.querySelector(".empty-box")?.remove();
      for (const item of items) {
        if (cards.has(item.id)) continue;
        const ticket = await maybe(at("tickets", item.ticket), {}, { signal });
        const element = card(item, ticket, () => kept.now());
        cards.set(item.id, element);
        holder.append(element);
      }
      if (!some) holder.append(emptyBox("Nothing is undecided", "When an answer is lost and the backend cannot be searched, or shows two tickets where there should be one, the request appears here and waits for you."));
    }, 4000);
  },
};
