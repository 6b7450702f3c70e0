// Notices of the browser, if its user has allowed them, and the user's choice of mail, if the Hub sends mail.
// pages.js tells what happens by window.unispawnerNotify(title, text).
"use strict";

(() => {
  const places = document.querySelectorAll("[data-notices]");
  const KEY = "unispawner notices";
  const { ask, asSentence, say } = window.unispawnerPage;
  const possible = "Notification" in window && window.isSecureContext;
  const wanted = () => possible && Notification.permission === "granted" && window.localStorage.getItem(KEY) === "on";

  // A page in the background need not ask the Hub, unless it has to notify its user.
  window.unispawnerWatches = () => !document.hidden || wanted();

  // Only for a page that nobody looks at: who looks at it sees what happens.
  window.unispawnerNotify = (title, text) => {
    if (wanted() && document.hidden) new Notification(title, { body: text, tag: "unispawner" });
  };

  function showBrowser(place) {
    const part = place.querySelector("[data-notify]");
    const [button, status] = [part.querySelector("button"), part.querySelector("[role=status]")];
    const show = () => {
      button.textContent = wanted() ? say("Stop this browser's notices") : say("Let this browser notify me");
      button.setAttribute("aria-pressed", String(wanted()));
    };
    part.hidden = !possible;
    show();
    button.addEventListener("click", async () => {
      if (wanted()) {
        window.localStorage.removeItem(KEY);
        status.textContent = "";
      } else if ((await Notification.requestPermission()) === "granted") {
        window.localStorage.setItem(KEY, "on");
        status.textContent = say("The browser tells you when the server is ready or has ended, while this page is open.");
      } else {
        status.textContent = say("The browser does not allow notices from this page. You can change that in its settings.");
      }
      show();
    });
  }

  async function showMail(place) {
    const part = place.querySelector("[data-mail]");
    const status = part.querySelector("[data-mail-status]");
    const boxes = [...part.querySelectorAll("[data-event]")];
    const show = ({ address, events }) => {
      part.hidden = !address;
      part.querySelector("[data-address]").textContent = address;
      for (const box of boxes) box.checked = events[box.dataset.event];
    };
    try {
      show(await ask(place.dataset.notices));
    } catch (error) {
      console.warn("Can't get what is sent by mail:", error);
    }
    for (const box of boxes) {
      box.addEventListener("change", async () => {
        try {
          show(await ask(place.dataset.notices, { method: "PUT", body: { [box.dataset.event]: box.checked } }));
          status.textContent = say("Saved.");
        } catch (error) {
          box.checked = !box.checked;
          status.textContent = say("This was not saved: {reason} Try again.", { reason: asSentence(error.message) });
        }
      });
    }
  }

  for (const place of places) {
    showBrowser(place);
    showMail(place);
  }
})();
