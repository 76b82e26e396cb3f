// What a person does: each forced act in a dialog that says what will happen, asks for a reason, and
// does nothing until it is told to. An error stays in the dialog, with what was typed.

import { h, fill } from "./dom.js";

let said = null;
// Says something that has happened, also to those who cannot see it.
export function toast(text, tone = "ok") {
  said ??= document.body.appendChild(h("div.toasts", { role: "status", "aria-live": "polite" }));
  const one = h(`p.toast.${tone}`, text);
  said.append(one);
  setTimeout(() => one.remove(), 6000);
}

let count = 0;
// A labelled field of a form.
export function field(label, input, hint) {
  const id = `f${(count += 1)}`;
  input.id = id;
  const told = hint ? h("p.hint", { id: `${id}h` }, hint) : null;
  if (told) input.setAttribute("aria-describedby", `${id}h`);
  return h("div.field", h("label", { for: id }, label), input, told);
}

// act(values): what is done; its answer closes the dialog. `body`: what is shown above the reason;
// `inputs`: elements by name, whose values `act` gets. `danger` colours the button. What is refused
// because the backend does not bear it out may be insisted on: `act` then gets `force`.
export function dialog({ title, body, inputs = {}, reason = true, verb, danger = false, act, done }) {
  return new Promise((resolve) => {
    const why = h("textarea", { rows: "2", required: true, maxlength: "1000", name: "reason" });
    const trouble = h("p.trouble", { role: "alert", hidden: true });
    const insist = h("input", { type: "checkbox", id: `insist${(count += 1)}` });
    const insists = h("label.check", { for: insist.id, hidden: true }, insist, h("span", "I have seen it there myself: do it all the same."));
    const go = h(danger ? "button.danger" : "button.primary", { type: "submit" }, verb);
    const cancel = h("button", { type: "button", onclick: () => element.close() }, "Cancel");
    const form = h("form", { method: "dialog", onsubmit: submit },
      h("h2", title), body,
      reason && field("Reason", why, "Kept in the audit, with your name."),
      trouble, insists, h("div.actions", cancel, go));
    const element = h("dialog", { "aria-label": title, onclose: () => finish(undefined) }, form);
    let over = false;

    function finish(value) {
      if (over) return;
      over = true;
      element.remove();
      resolve(value);
    }
    async function submit(event) {
      event.preventDefault();
      trouble.hidden = true;
      go.disabled = true;
      const values = Object.fromEntries(Object.entries(inputs).map(([name, input]) =>
        [name, input.type === "checkbox" ? input.checked : input.value.trim()]));
      if (reason) values.reason = why.value.trim();
      if (insist.checked) values.force = true;
      try {
        const answer = await act(values);
        const words = typeof done === "function" ? done(answer) : done;
        if (words) toast(words);
        finish(answer ?? true);
      } catch (error) {
        fill(trouble, error.message);
        trouble.hidden = false;
        insists.hidden = !error.body?.may_be_forced;
        if (insists.hidden) insist.checked = false;
        go.disabled = false;
      }
    }
    document.body.append(element);
    element.showModal();
    (form.querySelector("input:not([type=checkbox]), select, textarea") || go).focus();
  });
}
