// The page of earlier sessions: its buttons to delete one or all of them.
"use strict";

(() => {
  const page = document.querySelector("[data-history]");
  const status = page?.querySelector("[data-history-status]");
  if (!status) return;

  async function remove(mark) {
    if (!mark && !window.confirm("Delete all sessions from this list? Servers that run go on.")) return;
    const path = mark ? `history/${encodeURIComponent(mark)}` : "history";
    const query = new URLSearchParams({ user: page.dataset.user });
    try {
      const answer = await fetch(`${page.dataset.baseUrl}api/unispawner/${path}?${query}`, {
        method: "DELETE",
        headers: { "X-XSRFToken": window.jhdata?.xsrf_token ?? "" },
      });
      if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).message ?? answer.statusText);
      for (const row of page.querySelectorAll("[data-session]")) {
        if (!mark || row.dataset.session === mark) row.remove();
      }
      status.textContent = mark ? "The session is deleted from the list." : "All sessions are deleted from the list.";
    } catch (error) {
      status.textContent = `Nothing was deleted: ${error.message}. Try again.`;
    }
  }

  for (const button of page.querySelectorAll("[data-delete]")) {
    button.hidden = false;
    button.addEventListener("click", () => remove(button.dataset.delete));
  }
})();
