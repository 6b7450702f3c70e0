// The part of our pages that continues a server before its job ends. pages.js calls it with each new status
// of a server; the elements are those of the macro "continuation" in unispawner_server.html.
"use strict";

window.unispawnerContinuation = (() => {
  const { ask: askHub, say, setText } = window.unispawnerPage;

  function show(place, status) {
    const part = place.querySelector("[data-continuation]");
    if (!part) return;
    const found = status.continuation;
    const second = found?.state ?? ""; // the second job's state
    notify(part, second, found?.message);
    part.hidden = !found || !(found.offered || second || found.message);
    if (!found) return;
    const buttons = {
      continue: found.offered && !second,
      switch: second === "ready",
      withdraw: Boolean(second),
    };
    for (const [name, shown] of Object.entries(buttons)) {
      part.querySelector(`[data-do="${name}"]`).hidden = !shown;
    }
    setText(part.querySelector('[data-do="continue"]'), found.label);
    part.querySelector("[data-kept]").hidden = !(found.offered && !second && found.way === "second job");
    setText(part.querySelector("[data-continuation-message]"), found.message);
  }

  function notify(part, second, message) {
    const before = part.secondJob;
    part.secondJob = second;
    if (before === undefined || before === second) return;
    if (second === "ready") window.unispawnerNotify?.("The second job of your server is ready", message);
    if (before && !second && message) window.unispawnerNotify?.("There is no second job of your server", message);
  }

  async function act(place, button, ask) {
    const part = place.querySelector("[data-continuation]");
    const message = part.querySelector("[data-continuation-message]");
    const [method, action] = {
      continue: ["POST", "continue"], switch: ["POST", "switch"], withdraw: ["DELETE", "continue"],
    }[button.dataset.do];
    button.disabled = true;
    setText(message, say("Please wait …"));
    try {
      await askHub(`${place.dataset.server.replace(/\/$/, "")}/${action}`, { method });
      await ask(place);
    } catch (error) {
      await ask(place); // the first job's way may have failed, so that another one is offered
      setText(message, error.message);
      part.hidden = false;
    } finally {
      button.disabled = false;
    }
  }

  function connect(place, ask) {
    const part = place.querySelector("[data-continuation]");
    for (const button of part?.querySelectorAll("[data-do]") ?? []) {
      button.addEventListener("click", () => act(place, button, ask));
    }
    // While a second job waits or starts, its state may change at any moment.
    const watches = () => !part.hidden && (window.unispawnerWatches?.() ?? !document.hidden);
    if (part) window.setInterval(() => watches() && ask(place), 10_000);
  }

  return { connect, show };
})();
