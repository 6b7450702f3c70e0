// Keeps our pages up to date while a server waits or runs. An element with data-server has the address
// of the server's status in the Hub's API; the elements in it with data-fact and others show it.
"use strict";

(() => {
  const headers = { "X-XSRFToken": window.jhdata?.xsrf_token ?? "" };
  const MINUTE = 60;

  function showTime(element, moment) {
    const then = new Date(moment);
    const time = { hour: "2-digit", minute: "2-digit" };
    const today = then.toDateString() === new Date().toDateString();
    element.textContent = then.toLocaleString(
      undefined, today ? time : { weekday: "short", day: "numeric", month: "short", ...time });
  }

  function showLeft(seconds) {
    const minutes = Math.floor(seconds / MINUTE);
    if (minutes < 1) return "less than a minute";
    const parts = [[Math.floor(minutes / 1440), "day"], [Math.floor(minutes / 60) % 24, "hour"], [minutes % 60, "minute"]];
    return parts.filter(([number]) => number).slice(0, 2)
      .map(([number, unit]) => `${number} ${unit}${number === 1 ? "" : "s"}`).join(" ");
  }

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
    const job = status.job_id && status.scheduler ? `${status.job_id} on ${scheduler}` : status.job_id;
    const facts = { ...status, job_id: job, profile_name: status.profile_name || status.profile };
    for (const fact of place.querySelectorAll("[data-fact]")) {
      const name = fact.dataset.fact;
      showFact(place, name, name === "reason" && !waits ? "" : facts[name]);
    }
    const state = place.querySelector("[data-state]");
    if (state) state.textContent = status.state;
    const stale = place.querySelector("[data-unheard]");
    if (stale) stale.hidden = status.heard;
    place.endsAt = status.time_left === null ? null : Date.now() + status.time_left * 1000;
    window.unispawnerContinuation?.show(place, status);
    const warning = place.querySelector("[data-warning]");
    if (warning) {
      if (status.ending_soon && warning.hidden) window.unispawnerNotify?.("Your server ends soon", status.name);
      warning.hidden = !status.ending_soon;
    }
    tick(place);
  }

  function tick(place) {
    if (place.endsAt === undefined) return;
    const left = place.endsAt === null ? null : Math.max(0, (place.endsAt - Date.now()) / 1000);
    for (const [selector, before, after] of [["[data-time-left]", ", ", " left"], ["[data-left]", "", ""]]) {
      const element = place.querySelector(selector);
      const words = left === null ? "" : `${before}${showLeft(left)}${after}`;
      if (element && element.textContent !== words) element.textContent = words;
    }
  }

  async function ask(place) {
    try {
      const answer = await fetch(place.dataset.server, { headers });
      if (answer.ok) showStatus(place, await answer.json());
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
      const words = event.message ?? "";
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
        window.unispawnerNotify?.(event.ready ? "Your server is ready" : "Your server has not started", words);
        window.location.reload(); // the Hub leads to the server, or shows why there is none
      } else if (isNew) {
        ask(place);
      }
    };
  }

  async function cancel(place, button) {
    const status = place.querySelector("[data-cancel-status]");
    place.cancelled = button.disabled = true;
    status.textContent = "Cancelling …";
    try {
      const answer = await fetch(place.dataset.cancel, { method: "DELETE", headers });
      if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).message ?? answer.statusText);
      window.location = place.dataset.home;
    } catch (error) {
      status.textContent = `The server could not be cancelled: ${error.message}. Try again.`;
      place.cancelled = button.disabled = false;
    }
  }

  // The log is read through the user's account, so it is asked for only while somebody looks at it.
  async function showLog(place) {
    const [text, problem] = [place.querySelector("pre"), place.querySelector("[role=status]")];
    while (place.open) {
      if (!document.hidden) {
        try {
          const answer = await fetch(place.dataset.log, { headers });
          const { log, message } = await answer.json();
          if (answer.ok && text.textContent !== log) text.textContent = log;
          const words = answer.ok ? (log ? "" : "The log is empty.") : message;
          // Asked too often, the page keeps what it shows.
          if (answer.status !== 429 && problem.textContent !== words) problem.textContent = words;
        } catch (error) {
          console.warn("Can't get the log:", error);
          problem.textContent = "The Hub does not answer.";
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
