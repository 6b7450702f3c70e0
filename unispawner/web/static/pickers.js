// Usual values beside the text field of an amount of memory or a length of time, with their units, within the
// bounds of the present choice. The text field stays: any other amount can be typed.
"use strict";

(() => {
  const form = document.getElementById("unispawner-form");
  if (!form?.unispawner) return;
  const { say } = window.unispawnerPage;
  const GIB = 2 ** 30;
  const HOUR = 3600;
  const USUAL = {
    memory: [0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024].map((number) => number * GIB),
    duration: [0.25, 0.5, 1, 2, 4, 8, 12, 24, 48, 96, 168].map((number) => number * HOUR),
  };
  const two = (number) => String(number).padStart(2, "0");
  const WRITE = {
    memory: (bytes) => (bytes % GIB ? `${bytes / 2 ** 20}M` : `${bytes / GIB}G`),
    duration: (seconds) => {
      const [days, hours, minutes] = [Math.floor(seconds / 86400), Math.floor(seconds / HOUR) % 24, (seconds % HOUR) / 60];
      return `${days ? `${days}-` : ""}${two(hours)}:${two(minutes)}:00`;
    },
  };

  function fits(value, { min, max, step }) {
    return (min ?? 0) <= value && value <= (max ?? Infinity) && !(step && (value - (min ?? 0)) % step);
  }

  function addPicker(element) {
    const { kind } = element.dataset;
    const input = element.querySelector("input[type=text]");
    if (!USUAL[kind] || !input || input.hasAttribute("data-locked")) return;
    const menu = document.createElement("select");
    menu.className = "form-select unispawner-usual";
    menu.id = `${input.id}-usual`;
    const ofOption = element.querySelector("label");
    ofOption.id ||= `${input.id}-label`;
    menu.setAttribute("aria-describedby", ofOption.id);
    const label = Object.assign(document.createElement("label"), { htmlFor: menu.id, textContent: say("Usual values") });
    label.className = "visually-hidden";
    const group = document.createElement("div");
    group.className = "input-group";
    input.replaceWith(group);
    group.append(input, label, menu);
    const show = () => {
      const values = USUAL[kind].filter((value) => fits(value, form.unispawner.bounds(element)));
      const entries = values.map((value) => new Option(form.unispawner.show(kind, value), WRITE[kind](value)));
      menu.replaceChildren(new Option(say("Usual"), ""), ...entries);
      menu.hidden = !values.length;
    };
    show();
    form.addEventListener("unispawner:choice", () => menu !== document.activeElement && show());
    menu.addEventListener("change", () => {
      input.value = menu.value;
      menu.value = "";
      input.dispatchEvent(new Event("input", { bubbles: true }));
    });
  }

  form.querySelectorAll("[data-option]").forEach(addPicker);
})();
