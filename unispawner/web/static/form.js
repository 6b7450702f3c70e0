// The live parts of the form of profiles: fields that adapt, limits that are shown while the user types,
// what is free, a summary in words, and links that fill the form.
// This is only for convenience: the Hub checks what is sent.
"use strict";

(() => {
  const form = document.getElementById("unispawner-form");
  if (!form) return;
  const { request, say, sayCount, setText, showDuration, showList, showMemory, showMoment } = window.unispawnerPage;
  const baseUrl = form.dataset.baseUrl;
  const cards = [...form.querySelectorAll("[data-profile]")].map(readCard);
  let inventory = {};

  function readCard(element) {
    return {
      element,
      slug: element.dataset.profile,
      radio: element.querySelector('input[name="profile"]'),
      defaults: JSON.parse(element.dataset.defaults),
      free: element.querySelector("[data-free]"),
      box: element.querySelector(".unispawner-options"),
      options: [...element.querySelectorAll("[data-option]")].map(readOption),
    };
  }

  function readOption(element) {
    const control = element.querySelector("input, select");
    return {
      element,
      control,
      name: element.dataset.option,
      kind: element.dataset.kind,
      numbers: JSON.parse(element.dataset.numbers),
      when: JSON.parse(element.dataset.when),
      locked: control.hasAttribute("data-locked"),
      error: element.querySelector("[data-error]"),
      description: element.querySelector("[data-choice-description]"),
    };
  }

  const chosen = () => cards.find((card) => card.radio.checked);

  // -- amounts of memory and lengths of time, as the Hub reads them --------------------------------

  const FACTORS = { "": 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40, P: 2 ** 50 };

  function read(kind, text) {
    text = text.trim();
    if (kind === "count") return /^\d{1,15}$/.test(text) ? Number(text) : NaN;
    if (kind === "memory") {
      const match = /^(\d+(?:\.\d+)?)\s*([KMGTP]?)(?:I?B)?$/i.exec(text);
      const bytes = match ? Math.floor(Number(match[1]) * FACTORS[match[2].toUpperCase()]) || NaN : NaN;
      // A low number without a unit is a mistake: somebody means megabytes or gigabytes.
      return /\d$/.test(text) && bytes < FACTORS.M ? NaN : bytes;
    }
    const match = /^(?:(\d+)-)?(\d+)(?::(\d{1,2}))?(?::(\d{1,2}))?$/.exec(text);
    if (!match) return NaN;
    const [, days, first, second, third] = match;
    let seconds = NaN;
    if (days !== undefined) {
      seconds = days * 86400 + first * 3600 + (second ?? 0) * 60 + Number(third ?? 0);
    } else if (second === undefined) {
      seconds = first * 60;
    } else if (third !== undefined) {
      seconds = first * 3600 + second * 60 + Number(third);
    }
    return seconds || NaN;
  }

  const WRONG = {
    count: () => say("must be a whole number"),
    memory: () => say("must be an amount of memory with its unit, like 4G"),
    duration: () => say("must be a length of time, like 08:00:00"),
  };

  const show = (kind, value) =>
    kind === "memory" ? showMemory(value) : kind === "duration" ? showDuration(value) : String(value);

  // -- what a card asks for ------------------------------------------------------------------------

  // The options that apply: their `when` holds for earlier options, which must apply, too.
  function applying(card) {
    const values = {};
    return card.options.filter((option) => {
      const applies = Object.entries(option.when).every(([name, wanted]) => wanted.includes(values[name]));
      if (applies) values[option.control.name] = option.control.value;
      return applies;
    });
  }

  // Memory of the job and memory of each core exclude each other: the later one counts.
  function set(result, values) {
    if ("memory" in values) delete result.memory_per_core;
    if ("memory_per_core" in values) delete result.memory;
    Object.assign(result, values);
  }

  function fields(card) {
    const result = { ...card.defaults };
    for (const option of applying(card)) {
      const value = option.control.value;
      if (!value) continue;
      if (option.kind in WRONG) {
        const number = read(option.kind, value);
        if (option.kind === "memory" && value === "all") set(result, { [option.name]: 0 });
        else if (!Number.isNaN(number)) set(result, { [option.name]: number });
      } else if (option.kind === "flag") {
        result[option.name] = value === "true";
      } else if (option.kind === "name") {
        result[option.name] = value;
      }
      const entry = option.control.selectedOptions?.[0];
      set(result, JSON.parse(entry?.dataset.sets ?? "{}"));
    }
    return result;
  }

  function summary(asked) {
    const nodes = asked.node_count ?? 1;
    const processes = asked.process_count ?? nodes * (asked.processes_per_node ?? 1);
    const parts = [];
    if (nodes > 1) parts.push(sayCount("{count} node", "{count} nodes", nodes));
    if (asked.cpu_cores_per_process) {
      parts.push(sayCount("{count} core", "{count} cores", asked.cpu_cores_per_process * processes));
    } else if (processes > 1) {
      parts.push(sayCount("{count} process", "{count} processes", processes));
    }
    if (asked.gpu_cores_per_process) {
      const gpus = sayCount("{count} GPU", "{count} GPUs", asked.gpu_cores_per_process * processes);
      parts.push(asked.gpu_type ? say("{gpus} ({type})", { gpus, type: asked.gpu_type }) : gpus);
    }
    const perCore = (asked.memory_per_core ?? 0) * processes * (asked.cpu_cores_per_process ?? 1);
    if (asked.memory === 0) parts.push(say("all memory"));
    else if (asked.memory || perCore) parts.push(showMemory(asked.memory || perCore));
    if (asked.exclusive_node_use) parts.push(say("whole nodes"));
    if (asked.constraint) parts.push(say("nodes with {features}", { features: asked.constraint }));
    if (asked.duration) {
      parts.push(say("until {time} if it starts now", { time: showMoment(Date.now() + asked.duration * 1000) }));
    }
    return showList(parts) || say("the cluster's defaults");
  }

  function queueOf(card) {
    const cluster = inventory[card.element.dataset.cluster];
    const name = fields(card).queue_name || cluster?.default_queue;
    // hasOwn, because a link may name "constructor", which every object has.
    return cluster && Object.hasOwn(cluster.queues, name) ? cluster.queues[name] : undefined;
  }

  // -- limits --------------------------------------------------------------------------------------

  // A bound may depend on another option; while that has no value, the narrowest bound counts.
  function boundOf(card, option, which) {
    const by = option.numbers.by?.[which];
    if (!by) return option.numbers[which];
    const other = applying(card).find((one) => one.control.name === by.field);
    const value = other?.control.value ?? "";
    return Object.hasOwn(by.table, value) ? by.table[value] : by.narrowest;
  }

  function boundsOf(card, option) {
    const ofQueue = option.numbers.max === "queue";
    const max = ofQueue ? queueOf(card)?.limits[option.name] : boundOf(card, option, "max");
    return { min: boundOf(card, option, "min"), max, ofQueue };
  }

  function findError(card, option) {
    const text = option.control.value.trim();
    if (option.kind === "text") return form.unispawnerText.findError(option.control);
    if (!(option.kind in WRONG) || option.control.tagName === "SELECT") return "";
    if (!text && !option.control.validity.badInput) return "";
    const value = read(option.kind, text);
    if (Number.isNaN(value)) return WRONG[option.kind]();
    const { step } = option.numbers;
    const { min, max, ofQueue } = boundsOf(card, option);
    const inWords = (bound) => show(option.kind, bound);
    if (min !== undefined && value < min) return say("must be at least {bound}", { bound: inWords(min) });
    if (max !== undefined && value > max) {
      const bound = inWords(max);
      return ofQueue ? say("must be at most {bound}, the queue's limit", { bound }) : say("must be at most {bound}", { bound });
    }
    if (step && (value - (min ?? 0)) % step) {
      const words = { step: inWords(step), min: inWords(min ?? 0) };
      return min ? say("must be in steps of {step} from {min}", words) : say("must be in steps of {step}", words);
    }
    return "";
  }

  function showError(option, words) {
    option.control.setCustomValidity(words);
    option.control.classList.toggle("is-invalid", Boolean(words));
    if (words) option.control.setAttribute("aria-invalid", "true");
    else option.control.removeAttribute("aria-invalid");
    if (option.error.textContent !== words) option.error.textContent = words;
  }

  // -- updating the page ---------------------------------------------------------------------------

  function update(changed) {
    const current = chosen();
    for (const card of cards) {
      const here = card === current;
      if (card.box) {
        card.box.hidden = !here;
        for (const control of card.box.querySelectorAll("input, select, textarea, button")) {
          control.dataset.was ??= control.disabled ? "off" : "on"; // a spawner's own form
          control.disabled = !here || control.dataset.was === "off";
        }
      }
      const applicable = applying(card);
      for (const option of card.options) {
        showChoices(card, option);
        const applies = applicable.includes(option);
        option.element.hidden = !applies;
        option.control.disabled = !here || !applies || option.locked;
        option.description.textContent = option.control.selectedOptions?.[0]?.dataset.description ?? "";
        // An error that the Hub has found stays until the user changes the field.
        const keepsError = option.element.dataset.refused !== undefined && changed !== option.control;
        if (!keepsError) {
          delete option.element.dataset.refused;
          showError(option, here && applies ? findError(card, option) : "");
        }
      }
      showFree(card);
    }
    if (current) form.querySelector("[data-summary]").textContent = summary(fields(current));
    announce();
  }

  // A test for the whole text. A pattern is Python's, and JavaScript may not know all of it.
  function matches(pattern) {
    if (!pattern) return () => true;
    try {
      const whole = new RegExp(`^(?:${pattern})$`);
      return (text) => whole.test(text);
    } catch {
      return () => false; // the entries that the Hub has written stay as they are
    }
  }

  // The Hub did not know the cluster when it made the page, so the field is a text: the names are suggestions.
  function suggest(card, option) {
    const queues = inventory[card.element.dataset.cluster]?.queues ?? {};
    const shares = { gpu_type: queueOf(card)?.gpu_types, constraint: queueOf(card)?.features };
    const known = (option.name === "queue_name" ? queues : shares[option.name]) ?? {};
    const id = `${option.control.id}-names`;
    let list = document.getElementById(id);
    if (!list) {
      list = document.createElement("datalist");
      list.id = id;
      option.control.after(list);
      option.control.setAttribute("list", id);
    }
    const names = Object.keys(known).filter(matches(option.element.dataset.pattern));
    list.replaceChildren(...names.map((name) => new Option(known[name].words, name)));
  }

  // What is free of each choice that is the cluster's own; another queue may have other choices.
  function showChoices(card, option) {
    if (option.element.dataset.fromInventory === undefined) return;
    if (option.control.tagName === "INPUT") {
      suggest(card, option);
      return;
    }
    const shares = queueOf(card)?.[option.name === "gpu_type" ? "gpu_types" : "features"];
    if (!shares || option.name === "queue_name") return;
    const names = Object.keys(shares).filter(matches(option.element.dataset.pattern));
    if (!names.length) return;
    const entries = [...option.control.options];
    for (const entry of entries) {
      if (entry.value && !names.includes(entry.value) && !entry.selected) entry.remove();
    }
    for (const name of names) {
      let entry = entries.find((one) => one.value === name);
      if (!entry) {
        entry = new Option(name, name);
        entry.dataset.sets = "{}";
        option.control.add(entry);
      }
      if (entry.textContent !== shares[name].words) entry.textContent = shares[name].words;
    }
  }

  function showFree(card) {
    const cluster = inventory[card.element.dataset.cluster];
    if (!card.free || !cluster) return;
    const queue = queueOf(card);
    let words = queue ? queue.words : say("What is free is not known at the moment.");
    if (queue && cluster.stale) {
      const time = showMoment(cluster.as_of * 1000);
      words += ` ${say("As of {time}; there are no newer figures.", { time })}`;
    }
    setText(card.free, words);
  }

  async function refresh() {
    let pause = 60;
    if (!document.hidden) {
      try {
        const url = `${baseUrl}api/unispawner/inventory?user=${encodeURIComponent(form.dataset.user)}`;
        const answer = await request(url);
        if (answer.ok) {
          inventory = (await answer.json()).clusters;
          pause = Math.min(60, ...Object.values(inventory).map((cluster) => cluster.refresh_in));
          update();
        }
      } catch (error) {
        console.warn("Can't get what is free:", error); // the last figures stay
      }
    }
    window.setTimeout(refresh, pause * 1000);
  }

  // -- filling the form ----------------------------------------------------------------------------

  // What a field says whose earlier value is not in its menu any more.
  const notOffered = (value) => `The earlier choice "${value}" is not offered any more. Choose another one.`;

  // Set the options that are offered, and return the names of the others; the fields say which values do not fit.
  function fill(card, values) {
    const unknown = [];
    for (const [name, value] of Object.entries(values)) {
      const option = card.options.find((one) => one.name === name);
      if (!option) {
        unknown.push(name);
      } else if (!option.locked) {
        const before = option.control.value;
        delete option.element.dataset.refused;
        option.control.value = value;
        if (option.control.value !== value) {
          option.control.value = before;
          unknown.push(`${name}=${value}`);
          showError(option, notOffered(value));
          option.control.setCustomValidity(""); // what the field has now may be sent
          option.element.dataset.refused = ""; // until the user changes this field
        }
      }
    }
    return unknown;
  }

  function values(card) {
    const filled = applying(card).filter((option) => !option.locked && option.control.value);
    return Object.fromEntries(filled.map((option) => [option.name, option.control.value]));
  }

  // A link's fragment never reaches the Hub, so nothing starts before the user says so.
  function followLink() {
    const { profile, ...options } = Object.fromEntries(new URLSearchParams(window.location.hash.slice(1)));
    if (profile === undefined) return;
    const card = cards.find((one) => one.slug === profile);
    const status = form.querySelector("[data-link-status]");
    if (!card) {
      status.textContent = say("The link names the profile {profile}, which is not offered to you.", { profile });
      return;
    }
    card.radio.checked = true;
    const unknown = fill(card, options);
    status.textContent = unknown.length
      ? say("The link names options that are not offered: {options}.", { options: showList(unknown) })
      : say("The form shows the choice of the link. Nothing has been started.");
  }

  // -- for the other scripts of this form ----------------------------------------------------------

  // What is chosen, as the Hub's API takes it: {profile, option: text, …}. Null if no profile is chosen.
  function choice() {
    const card = chosen();
    return card ? { profile: card.slug, ...values(card) } : null;
  }

  // Choose a profile and set its options; return the names of what is not offered, or null if the profile is not.
  function choose({ profile, ...options }) {
    const card = cards.find((one) => one.slug === profile);
    if (!card) return null;
    card.radio.checked = true;
    const unknown = fill(card, options);
    update();
    return unknown;
  }

  let announced = "";

  // Tell the other scripts that the choice is another now: the event "unispawner:choice" of the form.
  function announce() {
    const current = choice();
    const text = JSON.stringify(current);
    if (text === announced) return;
    announced = text;
    form.dispatchEvent(new CustomEvent("unispawner:choice", { detail: current }));
  }

  // What the chosen profile would ask for, by field, with what is configured for it.
  const askedFor = () => (chosen() ? fields(chosen()) : {});

  // Put another control in the place of an option's: a menu in the place of a text.
  function replaceControl(slug, name, control) {
    const option = cards.find((card) => card.slug === slug)?.options.find((one) => one.name === name);
    if (!option) return;
    option.control.replaceWith(control);
    option.control = control;
    update();
  }

  // The values that an option of a card may have now, as far as they are known, in bytes or seconds.
  function bounds(element) {
    const card = cards.find((one) => one.element.contains(element));
    const option = card.options.find((one) => one.element === element);
    return { ...boundsOf(card, option), step: option.numbers.step };
  }

  form.unispawner = { bounds, show, choice, choose, fields: askedFor, replaceControl };

  async function copyLink() {
    const card = chosen();
    if (!card) return;
    const hash = new URLSearchParams({ profile: card.slug, ...values(card) });
    const url = `${window.location.origin}${baseUrl}spawn#${hash}`;
    const status = form.querySelector("[data-link-status]");
    try {
      await navigator.clipboard.writeText(url);
      status.textContent = say("Copied. The link fills this form and starts nothing.");
    } catch {
      window.history.replaceState(null, "", `#${hash}`);
      status.textContent = say("The address of this page is now the link.");
    }
  }

  // -- all of it -----------------------------------------------------------------------------------

  for (const invalid of form.querySelectorAll('[aria-invalid="true"]')) {
    invalid.closest("[data-option]").dataset.refused = "";
  }
  followLink();
  for (const live of form.querySelectorAll(".unispawner-live")) live.hidden = false;
  window.localStorage?.removeItem(`unispawner ${baseUrl} ${form.dataset.user}`); // of an older release
  form.addEventListener("input", (event) => update(event.target));
  form.addEventListener("change", (event) => update(event.target));
  form.querySelector("[data-link]").addEventListener("click", copyLink);
  window.addEventListener("hashchange", () => {
    followLink();
    update();
  });
  update();
  form.querySelector('[aria-invalid="true"]')?.focus();
  refresh();
})();
