// A form that is guarded: keys that save, a question before it is left, and what was typed kept
// until an answer has it: an answer with the form has all of it, a saved job another version.
(() => {
  "use strict";
  // A form that starts something is sent once; the server makes one run of several, too.
  document.querySelector("form[data-once]")?.addEventListener("submit", event => {
    setTimeout(() => { for (const button of event.target.querySelectorAll("button")) button.disabled = true; });
  });

  const form = document.querySelector("form[data-guard]");
  if (!form) return;

  const key = "form " + location.pathname;
  const store = (() => { try { return sessionStorage; } catch { return null; } })();
  const entries = () => [...new FormData(form)].filter(([name]) => name !== "csrf_token");
  const first = JSON.stringify(entries());
  let isSent = false;

  const isChanged = () =>
    !isSent && (form.hasAttribute("data-changed") || JSON.stringify(entries()) !== first);

  document.addEventListener("keydown", event => {
    if (!(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
    const isEnter = event.key === "Enter" && form.contains(document.activeElement);
    if (event.key === "s" || isEnter) {
      event.preventDefault();
      form.requestSubmit(document.querySelector(`button[form="${form.id}"][value="save"]`));
    }
  });

  window.addEventListener("beforeunload", event => {
    if (isChanged()) event.preventDefault();
  });

  form.addEventListener("submit", event => {
    if (isSent) return event.preventDefault();
    isSent = true;
    store?.setItem(key, JSON.stringify(entries()));
  });

  // Back from a page that said no: the buttons work again.
  window.addEventListener("pageshow", () => { isSent = false; });

  function isStill(kept) {
    const versionOf = list => list.find(([name]) => name === "version")?.[1];
    const version = versionOf(kept);
    // A new job has no version; what was typed counts if this page follows its own answer.
    const isReload = document.referrer === location.href;
    return version ? version === versionOf(entries()) : isReload;
  }

  function restore(kept) {
    const named = name => kept.filter(entry => entry[0] === name).map(entry => entry[1]);
    for (const control of form.elements) {
      if (!control.name || control.type === "submit" || control.name === "csrf_token") continue;
      if (control.type === "checkbox" || control.type === "radio") {
        control.checked = named(control.name).includes(control.value);
      } else if (named(control.name).length) {
        control.value = named(control.name)[0];
      }
    }
    form.setAttribute("data-changed", "");
    document.getElementById("notice").textContent = "What you typed is back. It is not saved.";
  }

  const text = store?.getItem(key);
  store?.removeItem(key);
  if (text && text !== first && !form.hasAttribute("data-changed") && isStill(JSON.parse(text))) {
    restore(JSON.parse(text));
  }
})();
