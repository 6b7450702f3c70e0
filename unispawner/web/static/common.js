// What the scripts of our pages share: words in the page's language, times and amounts as it writes them, and
// requests to the Hub. The messages of the page's language are in the element "unispawner-language"; say() and
// sayCount() are what ci/catalogues looks for.
"use strict";

window.unispawnerPage = (() => {
  const page = JSON.parse(document.getElementById("unispawner-language")?.textContent ?? "{}");
  const messages = page.messages ?? {};
  const language = page.language ?? "en";
  // How the reader's own country writes it, if the browser says so: en-GB on a page in English.
  const locale = navigator.languages.find((one) => one.split("-")[0] === language.split("-")[0]) ?? language;
  const plurals = new Intl.PluralRules(language);

  // -- words ---------------------------------------------------------------------------------------

  const find = (message) => (Object.hasOwn(messages, message) ? messages[message] : undefined);

  function fill(message, values) {
    return message.replace(/\{(\w+)\}/g, (place, name) => (Object.hasOwn(values, name) ? values[name] : place));
  }

  // Return a message in the page's language. Each {name} in it stands for the value of this name.
  function say(message, values = {}) {
    const found = find(message);
    return fill(typeof found === "string" ? found : message, values);
  }

  // Return a message about a number of things, which is {count} in it.
  function sayCount(message, several, count, values = {}) {
    const forms = find(message);
    const english = count === 1 ? message : several;
    const found = typeof forms === "object" ? (forms[plurals.select(count)] ?? forms.other ?? english) : english;
    return fill(found, { count: new Intl.NumberFormat(locale).format(count), ...values });
  }

  // -- times and amounts ---------------------------------------------------------------------------

  // Return a moment as a clock time, with the day if that is not today.
  function showMoment(moment) {
    const then = new Date(moment);
    const today = then.toDateString() === new Date().toDateString();
    const time = { hour: "2-digit", minute: "2-digit" };
    return then.toLocaleString(locale, today ? time : { weekday: "short", day: "numeric", month: "short", ...time });
  }

  function showUnit(count, unit) {
    return new Intl.NumberFormat(locale, { style: "unit", unit, unitDisplay: "long" }).format(count);
  }

  // Return a length of time: "1 day 12 hours". `most` is how many units it has at most.
  function showDuration(seconds, most = 3) {
    const minutes = Math.max(1, Math.round(seconds / 60));
    const parts = [[Math.floor(minutes / 1440), "day"], [Math.floor(minutes / 60) % 24, "hour"], [minutes % 60, "minute"]];
    return parts.filter(([count]) => count).slice(0, most).map(([count, unit]) => showUnit(count, unit)).join(" ");
  }

  const MEMORY = [
    [2 ** 40, (number) => say("{number} TiB", { number })],
    [2 ** 30, (number) => say("{number} GiB", { number })],
    [2 ** 20, (number) => say("{number} MiB", { number })],
    [2 ** 10, (number) => say("{number} KiB", { number })],
    [1, (number) => say("{number} bytes", { number })],
  ];

  function showMemory(bytes) {
    const [factor, inWords] = MEMORY.find(([one]) => bytes >= one) ?? MEMORY.at(-1);
    return inWords(new Intl.NumberFormat(locale, { maximumFractionDigits: 1, useGrouping: false }).format(bytes / factor));
  }

  const showList = (parts) => parts.join(language.startsWith("ar") || language.startsWith("fa") ? "، " : ", ");

  // Return a reason as a sentence: what an error says may have no full stop.
  const asSentence = (text) => (/[.!?…。]$/.test(text) ? text : `${text}.`);

  // -- the page ------------------------------------------------------------------------------------

  // Screen readers read a text again whenever it is set.
  function setText(element, text) {
    if (element && element.textContent !== text) element.textContent = text;
  }

  // -- requests ------------------------------------------------------------------------------------

  // Ask the Hub. The browser says the reader's language, and the Hub answers in it.
  function request(url, { method = "GET", body, signal } = {}) {
    const headers = { "X-XSRFToken": window.jhdata?.xsrf_token ?? "" };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    return fetch(url, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) });
  }

  // Ask the Hub and return its answer as data; throw what it says if it refuses.
  async function ask(url, options) {
    const answer = await request(url, options);
    if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).message || answer.statusText);
    const text = await answer.text(); // empty where there is nothing to say
    return text ? JSON.parse(text) : null;
  }

  return {
    locale, say, sayCount, showMoment, showUnit, showDuration, showMemory, showList, asSentence, setText, request, ask,
  };
})();
