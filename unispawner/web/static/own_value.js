// The texts that a user types for a choice, such as the path of an environment: what is wrong is said while the
// user types, and an empty text is not sent. The Hub checks it again, and looks at the path as the user.
"use strict";

(() => {
  const form = document.getElementById("unispawner-form");
  if (!form) return;
  const { say } = window.unispawnerPage;

  function matches(pattern, text) {
    try {
      return new RegExp(`^(?:${pattern})$`).test(text);
    } catch {
      return true; // a pattern that only Python reads
    }
  }

  function findError(control) {
    const text = control.value;
    if (!text) return "";
    if (/[{}]/.test(text)) return say("must have no braces");
    if (text.startsWith("/") && text.split("/").includes("..")) return say("must have no '..'");
    return matches(control.dataset.text, text) ? "" : control.dataset.rule;
  }

  // form.js disables what does not apply, and what is disabled is not required.
  for (const control of form.querySelectorAll("[data-required]")) control.required = true;
  form.unispawnerText = { findError };
})();
