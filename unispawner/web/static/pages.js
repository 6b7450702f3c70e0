// Keeps our pages up to date while a server waits or runs. An element with data-server has the address
// of the server's status in the Hub's API; the elements in it with data-fact and others show it.
"use strict";

(() => {
  const { ask: askHub, asSentence, request, say, setText, showDuration, showMoment } = window.unispawnerPage;
  const MINUTE = 60;

  const showTime = (element, moment) => setText(element, showMoment(moment));

  // What is said of a server's state in one or two words.
  const STATES = {
    stopped: () => say("stopped"),
    failed: () => say("failed"),
    submitting: () => say("submitting"),
    queued: () => say("queued"),
    held: () => say("held"),
    starting: () => say("starting"),
    running: () => say("running"),
    suspended: () => say("suspended"),
    stopping: () => say("stopping"),
  };

  function showFact(place, name, value) {
    const hasValue = value !== null && value !== "" && value !== undefined;
    const fact = place.querySelector(`[data-fact="${name}"]`);
    if (!fact) return;
    fact.hidden = place.querySelector(`[data-fact-of="${name}"]`).hidden = !hasValue;
    if (!hasValue) return;
    if (["estimated_start", "waiting_since", "ends"].includes(name)) {
      const time = document.createElement("time");
      time.dateTime = value;
      showTime(time, value);
      fact.replaceChildren(time);
    } else if (fact.textContent !== String(value)) {
      fact.textContent = value;
    }
  }

  function showStatus(place, status) {
    const waits = ["queued", "held"].includes(status.state);
    const scheduler = status.cluster ? `${status.scheduler} (${status.cluster})` : status.scheduler;
    const job = status.job_id && status.scheduler ? say("{job} on {scheduler}", { job: status.job_id, scheduler }) : status.job_id;
    const facts = { ...status, job_id: job, profile_name: status.profile_name || status.profile };
    for (const fact of place.querySelectorAll("[data-fact]")) {
      const name = fact.dataset.fact;
      showFact(place, name, name === "reason" && !waits ? "" : facts[name]);
    }
    const state = place.querySelector("[data-state]");
    setText(state, STATES[status.state]?.() ?? status.state);
    const stale = place.querySelector("[data-unheard]");
    if (stale) stale.hidden = status.heard;
    place.endsAt = status.time_left === null ? null : Date.now() + status.time_left * 1000;
    window.unispawnerContinuation?.show(place, status);
    const warning = place.querySelector("[data-warning]");
    if (warning) {
      if (status.ending_soon && warning.hidden) window.unispawnerNotify?.(say("Your server ends soon"), status.name);
      warning.hidden = !status.ending_soon;
    }
    tick(place);
  }

  function tick(place) {
    if (place.endsAt === undefined) return;
    const left = place.endsAt === null ? null : Math.max(0, (place.endsAt - Date.now()) / 1000);
    setText(place.querySelector("[data-time-left]"), left === null ? "" : showLeft(left));
    const warning = place.querySelector("[data-ends-soon]");
    if (warning && left !== null) setText(warning, warnOfEnd(warning.dataset.endsSoon, left));
  }

  // Whole minutes that are surely left, in at most two units.
  const surely = (seconds) => showDuration(Math.floor(seconds / MINUTE) * MINUTE, 2);

  function showLeft(seconds) {
    return seconds < MINUTE ? say("less than a minute left") : say("{time} left", { time: surely(seconds) });
  }

  function warnOfEnd(name, seconds) {
    if (seconds < MINUTE) {
      return name ? say("Your server {name} ends in less than a minute.", { name }) : say("Your server ends in less than a minute.");
    }
    const words = { name, time: surely(seconds) };
    return name ? say("Your server {name} ends soon: {time} left.", words) : say("Your server ends soon: {time} left.", words);
  }

  async function ask(place) {
    try {
      showStatus(place, await askHub(place.dataset.server));
    } catch (error) {
      console.warn("Can't get the server's status:", error); // the last one stays
    }
  }

  // The Hub's event stream says when something is new. Only then is the status asked for.
  function followProgress(place) {
    const events = new EventSource(place.dataset.progress);
    const bar = document.getElementById("progress-bar");
    const log = document.getElementById("progress-log");
    const message = document.getElementById("progress-message");
    events.onmessage = ({ data }) => {
      const event = JSON.parse(data);
      if (event.progress !== undefined) {
        bar.setAttribute("aria-valuenow", event.progress);
        bar.style.width = `${event.progress}%`;
        document.getElementById("sr-progress").textContent = `${event.progress}%`;
      }
      let words = event.message === "Server requested" ? say("Server requested") : (event.message ?? "");
      // The Hub writes moments in its own time zone, and the facts below are in the browser's.
      for (const one of event.moments ?? []) words = words.replace(one.words, () => showMoment(one.moment));
      const isNew = words !== message.textContent; // a legacy class repeats it once a second
      if (isNew) {
        message.textContent = words;
        log.append(Object.assign(document.createElement("div"), { textContent: words }));
      }
      // JupyterHub reports a cancelled start as ready, too. cancel() then opens the Hub's home page.
      if (place.cancelled) return;
      if (event.failed) bar.classList.add("bg-danger");
      if (event.ready || event.failed) {
        events.close();
        window.unispawnerNotify?.(event.ready ? say("Your server is ready") : say("Your server has not started"), words);
        window.location.reload(); // the Hub leads to the server, or shows why there is none
      } else if (isNew) {
        ask(place);
      }
    };
  }

  async function cancel(place, button) {
    const status = place.querySelector("[data-cancel-status]");
    place.cancelled = button.disabled = true;
    status.textContent = say("Cancelling …");
    try {
      await askHub(place.dataset.cancel, { method: "DELETE" });
      window.location = place.dataset.home;
    } catch (error) {
      status.textContent = say("The server could not be cancelled: {reason} Try again.", { reason: asSentence(error.message) });
      place.cancelled = button.disabled = false;
    }
  }

  // The log is read through the user's account, so it is asked for only while somebody looks at it.
  async function showLog(place) {
    const [text, problem] = [place.querySelector("pre"), place.querySelector("[role=status]")];
    while (place.open) {
      if (!document.hidden) {
        try {
          const answer = await request(place.dataset.log);
          const { log, message } = await answer.json();
          if (answer.ok && text.textContent !== log) text.textContent = log;
          const words = answer.ok ? (log ? "" : say("The log is empty.")) : message;
          // Asked too often, the page keeps what it shows.
          if (answer.status !== 429) setText(problem, words);
        } catch (error) {
          console.warn("Can't get the log:", error);
          problem.textContent = say("The Hub does not answer.");
        }
      }
      await new Promise((later) => window.setTimeout(later, 5000));
    }
  }

  for (const place of document.querySelectorAll("details[data-log]")) {
    place.addEventListener("toggle", () => place.open && showLog(place));
  }
  for (const time of document.querySelectorAll("time[datetime]")) showTime(time, time.dateTime);
  for (const place of document.querySelectorAll("[data-server]")) {
    ask(place);
    if (place.dataset.progress !== undefined) followProgress(place);
    window.setInterval(() => tick(place), 10_000);
    if (place.dataset.again !== undefined) {
      window.setInterval(() => (window.unispawnerWatches?.() ?? !document.hidden) && ask(place), MINUTE * 1000);
    }
    window.unispawnerContinuation?.connect(place, ask);
    const button = place.querySelector("#cancel-server");
    place.querySelector("#cancel-form")?.addEventListener("submit", (event) => {
      event.preventDefault(); // without JavaScript the form itself cancels
      cancel(place, button);
    });
  }
})();
