// Presets: choices that the Hub keeps for this user under a name. The Hub checks what is saved, and checks it
// again at each start.
"use strict";

(() => {
  const form = document.getElementById("unispawner-form");
  const box = form?.querySelector("[data-presets]");
  if (!box || !form.unispawner) return;
  const { request, say, showList } = window.unispawnerPage;
  const menu = form.querySelector("#unispawner-preset");
  const menuBox = form.querySelector("[data-preset-menu]");
  const name = form.querySelector("#unispawner-preset-name");
  const deleting = form.querySelector("[data-delete-preset]");
  const [status, saveStatus] = form.querySelectorAll("[data-preset-status]");
  const presets = new Map(Object.entries(JSON.parse(box.dataset.presets)));

  function showMenu(selected = "") {
    const names = [...presets.keys()].sort((one, other) => one.localeCompare(other));
    menu.replaceChildren(
      ...["", ...names].map((one) => new Option(one || say("Choose a preset"), one, false, one === selected)),
    );
    deleting.disabled = !selected;
    menuBox.hidden = !names.length;
  }

  // What differs from a preset after it was put into the form: fields that the form does not offer any more.
  function usePreset() {
    const preset = presets.get(menu.value);
    deleting.disabled = !preset;
    if (!preset) return;
    name.value = menu.value;
    const unknown = form.unispawner.choose(preset);
    if (unknown === null) {
      status.textContent = say(
        "The preset is for the profile {profile}, which is not offered to you any more.", { profile: preset.profile });
    } else if (unknown.length) {
      status.textContent = say(
        "The form shows the preset without what is not offered any more: {options}.", { options: showList(unknown) });
    } else {
      status.textContent = say("The form shows the preset. Nothing has been started.");
    }
  }

  async function ask(method, preset, body) {
    const query = new URLSearchParams({ user: form.dataset.user });
    const url = `${form.dataset.baseUrl}api/unispawner/presets/${encodeURIComponent(preset)}?${query}`;
    try {
      const answer = await request(url, { method, body });
      if (answer.ok) return "";
      const { message } = await answer.json();
      return message || say("The Hub refused this with status {status}.", { status: answer.status });
    } catch (error) {
      console.warn("The Hub does not answer:", error);
      return say("The Hub does not answer. Try again later.");
    }
  }

  async function savePreset() {
    const chosen = form.unispawner.choice();
    const wanted = name.value.trim();
    if (!wanted) {
      saveStatus.textContent = say("A preset needs a name.");
      name.focus();
      return;
    }
    const problem = await ask("PUT", wanted, chosen ?? {});
    if (!problem) {
      presets.set(wanted, chosen);
      showMenu(wanted);
    }
    saveStatus.textContent = problem
      ? say("The preset was not saved. {problem}", { problem })
      : say("The preset {name} is saved.", { name: wanted });
  }

  async function deletePreset() {
    const wanted = menu.value;
    const problem = await ask("DELETE", wanted);
    if (!problem) {
      presets.delete(wanted);
      showMenu();
      (presets.size ? menu : name).focus();
    }
    status.textContent = problem
      ? say("The preset was not deleted. {problem}", { problem })
      : say("The preset {name} is deleted.", { name: wanted });
  }

  showMenu();
  menu.addEventListener("change", usePreset);
  deleting.addEventListener("click", deletePreset);
  form.querySelector("[data-save-preset]").addEventListener("click", savePreset);
  name.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault(); // it would start a server
    savePreset();
  });
})();
