// The page of earlier sessions: its buttons to delete one or all of them.
"use strict";

(() => {
  const page = document.querySelector("[data-history]");
  const status = page?.querySelector("[data-history-status]");
  if (!status) return;
  const { ask, asSentence, say } = window.unispawnerPage;

  async function remove(mark) {
    if (!mark && !window.confirm(say("Delete all sessions from this list? Servers that run go on."))) return;
    const path = mark ? `history/${encodeURIComponent(mark)}` : "history";
    const query = new URLSearchParams({ user: page.dataset.user });
    try {
      await ask(`${page.dataset.baseUrl}api/unispawner/${path}?${query}`, { method: "DELETE" });
      for (const row of page.querySelectorAll("[data-session]")) {
        if (!mark || row.dataset.session === mark) row.remove();
      }
      status.textContent = mark
        ? say("The session is deleted from the list.")
        : say("All sessions are deleted from the list.");
    } catch (error) {
      status.textContent = say("Nothing was deleted: {reason} Try again.", { reason: asSentence(error.message) });
    }
  }

  for (const button of page.querySelectorAll("[data-delete]")) {
    button.hidden = false;
    button.addEventListener("click", () => remove(button.dataset.delete));
  }
})();
