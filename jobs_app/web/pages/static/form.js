// A form that is guarded: keys that save, a question before it is left, what was typed kept.
"use strict";

(() => {
  const form = document.querySelector("form[data-guard]");
  const stores = (() => { try { return window.sessionStorage; } catch { return null; } })();
  const key = "form " + location.pathname;

  if (!form) {
    return;
  }

  const text = () => {
    const entries = [...new FormData(form)].filter(([name]) => name !== "csrf_token");
    return JSON.stringify(entries);
  };
  const first = text();
  let isSent = false;

  const isChanged = () => !isSent && (form.hasAttribute("data-changed") || text() !== first);

  // ---- keys ----

  document.addEventListener("keydown", event => {
    if (!(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) {
      return;
    }
    const isInForm = event.key === "Enter" && form.contains(document.activeElement);
    if (event.key === "s" || isInForm) {
      event.preventDefault();
      form.requestSubmit(document.querySelector('button[form="' + form.id + '"][value="save"]'));
    }
  });

  // ---- leaving ----

  window.addEventListener("beforeunload", event => {
    if (isChanged()) {
      event.preventDefault();
    }
  });

  form.addEventListener("submit", event => {
    if (isSent) {
      event.preventDefault();
      return;
    }
    isSent = true;
    stores?.setItem(key, text());
  });

  // Back from a page that said no: the buttons work again.
  window.addEventListener("pageshow", () => { isSent = false; });

  // ---- what was typed, after an answer that was not this form ----

  const version = entries => entries.find(([name]) => name === "version")?.[1];

  const restore = () => {
    const kept = stores?.getItem(key);
    stores?.removeItem(key);
    // An answer with the form has all of it; another version was saved, or is not ours.
    if (!kept || form.hasAttribute("data-changed") || kept === first) {
      return;
    }
    const entries = JSON.parse(kept);
    if (!version(entries) || version(entries) !== version(JSON.parse(first))) {
      return;
    }
    for (const control of form.elements) {
      const values = entries.filter(([name]) => name === control.name).map(([, value]) => value);
      if (!control.name || control.type === "submit" || control.name === "csrf_token") {
        continue;
      }
      if (control.type === "checkbox" || control.type === "radio") {
        control.checked = values.includes(control.value);
      } else if (values.length) {
        control.value = values[0];
      }
    }
    form.setAttribute("data-changed", "");
    document.querySelector("#notice").textContent = "What you typed is here again: it was not saved.";
  };

  restore();
})();
