// Improves pages that work without it: copy buttons, a field that Enter submits, and live state.
"use strict";
(() => {
  const all = (selector, root) => Array.from((root || document).querySelectorAll(selector));

  // Copy buttons, beside each text that is worth copying.
  const addCopyButtons = (root) => {
    if (!navigator.clipboard) return;
    for (const text of all("[data-copy]", root)) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "copy";
      button.textContent = text.dataset.copy;
      button.addEventListener("click", async () => {
        try {
          await navigator.clipboard.writeText(text.textContent.trim());
          button.textContent = text.dataset.copied;
        } catch {
          getSelection().selectAllChildren(text);
        }
        setTimeout(() => { button.textContent = text.dataset.copy; }, 2000);
      });
      text.after(button);
    }
  };
  addCopyButtons();

  // Enter submits a single line; Shift+Enter and pasted lines stay.
  for (const field of all(".ask textarea")) {
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing && !field.value.includes("\n")) {
        event.preventDefault();
        field.form.requestSubmit();
      }
    });
  }

  // The live part of a ticket: asked for every two seconds while something happens, replaced only
  // if it changed, for an hour at most. The page itself may answer a form, at another address.
  const follow = (live, until, wait) => {
    setTimeout(async () => {
      if (Date.now() > until) {
        live.classList.remove("follows");
        return;
      }
      let next = wait;
      if (!document.hidden) {
        try {
          const response = await fetch(live.dataset.path, { headers: { Accept: "text/html" } });
          if (!response.ok) throw new Error(response.status);
          const page = new DOMParser().parseFromString(await response.text(), "text/html");
          const now = page.getElementById("live");
          if (!now) throw new Error("no ticket");
          const isBusy = live.contains(document.activeElement) && /^(INPUT|TEXTAREA)$/.test(document.activeElement.tagName);
          if (now.dataset.version !== live.dataset.version && !isBusy) {
            const open = all("details[id][open]", live).map((d) => d.id);
            // The parts stay, for a screen reader announces changes within them.
            for (const part of all("[data-live]", live)) {
              const fresh = page.getElementById(part.id);
              // A part that is the same stays, with what is being written in it.
              if (fresh && fresh.innerHTML !== part.innerHTML) part.replaceChildren(...fresh.childNodes);
            }
            live.dataset.version = now.dataset.version;
            for (const id of open) {
              const details = document.getElementById(id);
              if (details) details.open = true;
            }
            addCopyButtons(live);
          }
          live.classList.add("follows");
          if (now.dataset.closed && now.dataset.version === live.dataset.version) return;
          next = Number(now.dataset.wait) || 2000;
        } catch {
          // Until there is an answer, a link asks for changes.
          live.classList.remove("follows");
          next = Math.min(wait * 2, 60000);
        }
      }
      follow(live, until, next);
    }, wait);
  };
  const live = document.getElementById("live");
  // The address of a form's answer cannot be opened: the page has that of its ticket instead.
  const own = live && new URL(live.dataset.path, location.href);
  if (live && location.pathname.startsWith(`${own.pathname}/`)) history.replaceState(null, "", own);
  if (live && !live.dataset.closed) {
    live.classList.add("follows");
    follow(live, Date.now() + 3600000, Number(live.dataset.wait) || 2000);
  }
})();
