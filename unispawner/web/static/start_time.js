// When a server would start: beside the summary in the form, and on the page of a server that waits how another
// choice would start sooner. The Hub is asked after a pause in typing; what is not known is not shown.
"use strict";

(() => {
  const { request, say, setText, showMoment } = window.unispawnerPage;

  // All that users read. `time` is a clock time, and `less` what is smaller: "4 cores", "2 hours".
  const WORDS = {
    now: () => say("It can start now."),
    later: (time) => say("It starts at about {time}.", { time }),
    refused: (scheduler, reason) => say("{scheduler} can't start it now: {reason}.", { scheduler, reason }),
    estimatedNow: () => say("Estimate: enough is free for it to start now."),
    estimatedPerhaps: () => say("Estimate: enough is free for it, but other jobs wait, too."),
    estimatedNotNow: () => say("Estimate: not enough is free for it to start now."),
    soonerNow: (less) => say("It starts sooner with {less}: now.", { less }),
    soonerLater: (less, time) => say("It starts sooner with {less}: at about {time}.", { less, time }),
    soonerEstimated: (less) => say("Estimate: with {less} it can start now.", { less }),
    change: (less) => say("Change to {less}", { less }),
    waitingNow: (less) => say("With {less} your server could start now.", { less }),
    waitingLater: (less, time) => say("With {less} your server could start at about {time}.", { less, time }),
    waitingEstimated: (less) => say("Estimate: with {less} your server could start now.", { less }),
    placeIsLost: () => say("If you cancel, your place in the queue is lost. Nothing starts until you say so in the form."),
    cancelAndChange: (less) => say("Cancel, and open the form with {less}", { less }),
    cancelling: () => say("Cancelling …"),
    notCancelled: () => say("The server could not be cancelled. Try again."),
  };

  const SECOND = 1000;
  const AFTER_TYPING = 0.8 * SECOND;
  const LONGEST_LOOK = 600 * SECOND; // a form that nobody touches for so long is not kept up to date
  const INVENTORY_COMES = 4 * SECOND;
  const WAITING_FIRST = 10 * SECOND;
  const WAITING_AGAIN = 120 * SECOND;

  // What is known about a choice, as a sentence; empty if nothing is.
  function describe(answer) {
    if (answer.by_inventory) {
      return { now: WORDS.estimatedNow, perhaps: WORDS.estimatedPerhaps, not_now: WORDS.estimatedNotNow }[answer.outlook]?.() ?? "";
    }
    if (answer.outlook === "now") return WORDS.now();
    if (answer.outlook === "later" && answer.start) return WORDS.later(showMoment(answer.start));
    if (answer.outlook === "refused" && answer.reason) return WORDS.refused(answer.scheduler, answer.reason.replace(/\.$/, ""));
    return "";
  }

  function describeSooner(sooner, now, later, estimated) {
    if (!sooner) return "";
    if (sooner.outlook === "now") return (sooner.by_inventory ? estimated : now)(sooner.words);
    return sooner.outlook === "later" && sooner.start ? later(sooner.words, showMoment(sooner.start)) : "";
  }

  const asTexts = (options) => Object.fromEntries(Object.entries(options).map(([name, value]) => [name, String(value)]));

  // Return the answer; null if there is none now. It throws if there never will be any.
  async function ask(baseUrl, user, body, signal) {
    const url = `${baseUrl}api/unispawner/start-time?user=${encodeURIComponent(user)}`;
    const answer = await request(url, { method: "POST", body, signal });
    if ([403, 404].includes(answer.status)) throw new Error("The Hub doesn't say when this server starts.");
    return answer.ok ? answer.json() : null;
  }

  // -- the form ------------------------------------------------------------------------------------

  function followForm(form) {
    const words = form.querySelector("[data-start-words]");
    const button = form.querySelector("[data-start-sooner]");
    let timer, request, sooner, stopped = false, touchedAt = Date.now(), retries = 3;

    function show(answer) {
      sooner = answer?.sooner;
      const also = describeSooner(sooner, WORDS.soonerNow, WORDS.soonerLater, WORDS.soonerEstimated);
      setText(words, answer ? [describe(answer), also].filter(Boolean).join(" ") : "");
      button.hidden = !also;
      if (also) setText(button, WORDS.change(sooner.words));
    }

    function plan(pause) {
      window.clearTimeout(timer);
      if (!stopped) timer = window.setTimeout(update, pause);
    }

    async function update() {
      const choice = form.unispawner.choice();
      request?.abort();
      if (document.hidden || Date.now() - touchedAt > LONGEST_LOOK) return show(null); // until it is looked at again
      if (!choice || form.querySelector('[aria-invalid="true"]')) return show(null);
      request = new AbortController();
      const { signal } = request;
      try {
        const answer = await ask(form.dataset.baseUrl, form.dataset.user, { user_options: choice }, signal);
        if (signal.aborted) return;
        show(answer);
        // What is free may be asked for at this moment; the answer then comes in some seconds.
        const isComing = answer?.by_inventory && answer.outlook === "unknown" && retries > 0;
        retries -= 1;
        plan(isComing ? INVENTORY_COMES : (answer?.refresh_in ?? 60) * SECOND);
      } catch (error) {
        if (signal.aborted) return;
        stopped = !(error instanceof TypeError); // the network may come back
        show(null);
        plan(60 * SECOND);
      }
    }

    function change() {
      const before = form.unispawner.choice();
      const options = asTexts(sooner.user_options);
      form.unispawner.choose(options);
      const changed = Object.keys(options).find((name) => options[name] !== before[name]);
      document.getElementsByName(`${options.profile}--${changed}`)[0]?.focus(); // the button is gone
    }

    form.addEventListener("unispawner:choice", () => {
      touchedAt = Date.now();
      request?.abort();
      show(null); // what it says is about another choice
      plan(AFTER_TYPING);
    });
    document.addEventListener("visibilitychange", () => {
      touchedAt = Date.now();
      if (!document.hidden) plan(AFTER_TYPING);
    });
    button.addEventListener("click", change);
    plan(0);
  }

  // -- the page of a server that waits -------------------------------------------------------------

  function followWaiting(hint) {
    const place = hint.closest("[data-server]");
    const words = hint.querySelector("[data-start-words]");
    const button = hint.querySelector("[data-start-sooner]");
    let sooner;

    function show(answer) {
      sooner = answer?.sooner;
      const also = describeSooner(sooner, WORDS.waitingNow, WORDS.waitingLater, WORDS.waitingEstimated);
      setText(words, also ? `${also} ${WORDS.placeIsLost()}` : "");
      button.hidden = !also;
      if (also) setText(button, WORDS.cancelAndChange(sooner.words));
    }

    async function update() {
      try {
        if (!document.hidden && !place.cancelled) {
          show(await ask(hint.dataset.baseUrl, hint.dataset.user, { server: hint.dataset.startTimeOf }));
        }
      } catch (error) {
        show(null);
        if (!(error instanceof TypeError)) return; // never again
      }
      window.setTimeout(update, WAITING_AGAIN);
    }

    // The form of this server opens only when the server has stopped.
    async function hasStopped() {
      for (let attempt = 0; attempt < 60; attempt += 1) {
        const answer = await request(place.dataset.server);
        if (answer.ok && ["stopped", "failed"].includes((await answer.json()).state)) return;
        await new Promise((resolve) => window.setTimeout(resolve, SECOND));
      }
    }

    async function cancelAndChange() {
      const target = `${hint.dataset.spawn}#${new URLSearchParams(asTexts(sooner.user_options))}`;
      place.cancelled = button.disabled = true; // pages.js leaves the page alone
      setText(words, WORDS.cancelling());
      try {
        const answer = await request(place.dataset.cancel, { method: "DELETE" });
        if (!answer.ok) throw new Error(answer.statusText);
        await hasStopped();
        window.location = target;
      } catch (error) {
        console.warn("Can't cancel the server:", error);
        setText(words, WORDS.notCancelled());
        place.cancelled = button.disabled = false;
      }
    }

    button.addEventListener("click", cancelAndChange);
    window.setTimeout(update, WAITING_FIRST);
  }

  const form = document.getElementById("unispawner-form");
  if (form?.querySelector("[data-start-words]")) followForm(form);
  for (const hint of document.querySelectorAll("[data-start-time-of]")) followWaiting(hint);
})();
