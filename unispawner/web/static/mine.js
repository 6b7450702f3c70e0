// Options whose choices are what this user may use: accounts, queues, qualities of service and reservations. The
// page does not wait for the scheduler: this script asks the Hub for the rest, turns text fields into menus, and
// shows only what goes together. The Hub checks what is sent.
"use strict";

(() => {
  const form = document.getElementById("unispawner-form");
  if (!form?.unispawner) return;
  const { request, say, showDuration, showMoment } = window.unispawnerPage;
  const FIELDS = ["account", "queue_name", "qos", "reservation_id"];
  const MOST_QUESTIONS = 60; // about one profile, while the scheduler does not answer
  const cards = new Map();
  for (const element of form.querySelectorAll("[data-profile]")) {
    const options = [...element.querySelectorAll("[data-mine]")];
    const status = element.querySelector("[data-mine-status]");
    if (options.length) cards.set(element.dataset.profile, { element, options, status, answer: null, questions: 0 });
  }
  if (!cards.size) return;

  const controlOf = (option) => option.querySelector("input, select");
  const labelOf = (option) => option.querySelector("label").textContent;

  // -- words; profiles/form.py has the same --------------------------------------------------------

  function labelEntry({ name, begins, ends }) {
    const now = Date.now() / 1000;
    if (ends === null) return name;
    const until = showMoment(ends * 1000);
    if (begins !== null && begins > now) {
      return say("{name} (from {begin} until {end})", { name, begin: showMoment(begins * 1000), end: until });
    }
    return say("{name} ({left} left, until {end})", { name, left: showDuration(ends - now), end: until });
  }

  function labelNone(name, answer) {
    if (name === "reservation_id") return say("No reservation");
    const standard = answer.configured[name] || defaultOf(answer, name);
    return standard ? say("Your default: {name}", { name: standard }) : say("The scheduler's default");
  }

  // -- what goes together; schedulers/usable.py has the same ----------------------------------------

  const defaultOf = (answer, name) => answer.fields[name]?.find((entry) => entry.default)?.name ?? "";

  // A value as the rules have it: null if no rule says anything about it.
  function knownValue(answer, name, text) {
    const value = text || defaultOf(answer, name);
    return !value || answer.fields[name]?.some((entry) => entry.name === value) ? value : null;
  }

  function fits(answer, values) {
    const given = Object.entries(values).map(([name, text]) => [name, knownValue(answer, name, text)]);
    const obeys = (row) => given.every(([name, value]) => value === null || !row[name] || row[name].includes(value));
    return answer.rules.every((rule) => rule.some(obeys));
  }

  // -- the menus -----------------------------------------------------------------------------------

  function makeMenu(input) {
    const menu = document.createElement("select");
    for (const name of ["id", "name", "aria-describedby"]) menu.setAttribute(name, input.getAttribute(name));
    menu.className = input.className.replace("form-control", "form-select");
    return menu;
  }

  // Offer what the Hub has answered. What was chosen stays, also if the Hub has refused it.
  function offer(slug, card) {
    for (const option of card.options) {
      const name = option.dataset.option;
      const entries = card.answer.fields[name];
      if (!entries) continue; // not known: a text stays a text
      const control = controlOf(option);
      const { value } = control;
      const offered = [new Option(labelNone(name, card.answer), ""), ...entries.map((one) => new Option(labelEntry(one), one.name))];
      const refused = option.dataset.refused !== undefined && value && !entries.some((one) => one.name === value);
      if (refused) offered.push(new Option(value, value));
      const menu = control.tagName === "SELECT" ? control : makeMenu(control);
      menu.replaceChildren(...offered);
      menu.value = value;
      const lost = value && menu.value !== value;
      if (menu.selectedIndex < 0) menu.value = "";
      if (menu !== control) form.unispawner.replaceControl(slug, name, menu);
      if (lost) {
        card.status.textContent = say(
          "{field}: {value} was left out, because you may not use it.", { field: labelOf(option), value });
      }
    }
  }

  // Show only the entries that go together with the options before them.
  function narrow(card) {
    if (!card?.answer) return;
    const fields = form.unispawner.fields();
    const own = card.options.map((option) => option.dataset.option);
    const decided = Object.fromEntries(FIELDS.filter((name) => !own.includes(name)).map((name) => [name, fields[name] ?? ""]));
    for (const option of card.options) {
      const name = option.dataset.option;
      const menu = controlOf(option);
      const before = menu.value;
      if (menu.tagName === "SELECT" && !option.hidden) {
        const configured = card.answer.configured[name] ?? "";
        for (const entry of menu.options) {
          entry.hidden = entry.disabled = !fits(card.answer, { ...decided, [name]: entry.value || configured });
        }
        if (menu.selectedOptions[0]?.disabled && option.dataset.refused === undefined) {
          const possible = [...menu.options].find((entry) => !entry.disabled);
          if (possible) {
            menu.value = possible.value;
            const words = { field: labelOf(option), before, now: possible.text };
            card.status.textContent = before
              ? say("{field}: {before} does not go together with the rest of the choice. It is now: {now}.", words)
              : say("{field}: the default does not go together with the rest of the choice. It is now: {now}.", words);
          }
        }
      }
      decided[name] = (option.hidden ? "" : menu.value) || (card.answer.configured[name] ?? "");
      if (menu.value !== before) menu.dispatchEvent(new Event("change", { bubbles: true }));
    }
  }

  // -- the Hub's answers ---------------------------------------------------------------------------

  async function ask(slug) {
    const card = cards.get(slug);
    card.questions += 1;
    let again = 10;
    try {
      const query = new URLSearchParams({ profile: slug, user: form.dataset.user });
      const answer = await request(`${form.dataset.baseUrl}api/unispawner/mine?${query}`);
      if (answer.ok) {
        card.answer = await answer.json();
        again = card.answer.refresh_in;
        offer(slug, card);
        if (form.unispawner.choice()?.profile === slug) narrow(card);
      }
    } catch (error) {
      console.warn("Can't get what you may use:", error); // the fields stay as they are
    }
    if (again !== null && card.questions < MOST_QUESTIONS) window.setTimeout(ask, again * 1000, slug);
  }

  function follow() {
    const slug = form.unispawner.choice()?.profile;
    const card = cards.get(slug);
    if (card && card.questions === 0) ask(slug);
    narrow(card);
  }

  form.addEventListener("unispawner:choice", follow);
  follow();
})();
