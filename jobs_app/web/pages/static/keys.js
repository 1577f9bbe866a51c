// Keys: each goes to a link, a button or a field that names it in data-key. None starts, cancels
// or deletes by itself: those lead to a page or a dialog that asks.
(() => {
  "use strict";
  const OFF = "jobs-keys-off";
  const dialog = document.getElementById("keys");
  const off = document.getElementById("keys-off");
  let prefix = "", prefixAt = 0;

  const rows = () => [...document.querySelectorAll("#main tbody tr[data-row]")];
  const selected = () => document.querySelector("#main tr.selected");

  function move(step) {
    const all = rows();
    if (!all.length) return;
    const index = all.indexOf(selected());
    const next = all[Math.min(all.length - 1, Math.max(0, index < 0 ? 0 : index + step))];
    selected()?.classList.remove("selected");
    next.classList.add("selected");
    next.querySelector("a")?.focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
  }

  function show() {
    const list = document.getElementById("keys-list");
    const named = [...document.querySelectorAll("[data-key]")].map((element) => [element.dataset.key, element.getAttribute("aria-label") || element.placeholder || element.dataset.name || element.textContent.trim()]);
    const all = new Map([...named, ["j", "Next row"], ["k", "Previous row"], ["Enter", "Open the row"], ["Esc", "Leave the field, close"], ["?", "These keys"]]);
    list.replaceChildren(...[...all].map(([key, name]) => {
      const row = document.createElement("tr");
      const kbd = document.createElement("kbd");
      kbd.textContent = key;
      row.insertCell().append(kbd);
      row.insertCell().textContent = name;
      return row;
    }));
    off.checked = localStorage.getItem(OFF) === "1";
    dialog.showModal();
  }

  function press(key) {
    const target = document.querySelector(`[data-key="${CSS.escape(key)}"]`);
    if (!target) return false;
    if (target.matches("input, select, textarea")) {
      target.focus();
      target.select?.();
    } else {
      target.click();
    }
    return true;
  }

  document.addEventListener("keydown", (event) => {
    const field = event.target.closest("input, select, textarea, [contenteditable]");
    if (event.key === "Escape" && field) return field.blur();
    const isChord = event.metaKey || ((event.ctrlKey || event.altKey) && !event.getModifierState("AltGraph")); // AltGr types [
    if (field || isChord || event.defaultPrevented) return;
    if (event.key === "?") { event.preventDefault(); return show(); }
    if (localStorage.getItem(OFF) === "1" || document.querySelector("dialog[open]")) return;
    if (event.key === "j" || event.key === "k") return move(event.key === "j" ? 1 : -1);
    const isSecond = prefix && Date.now() - prefixAt < 1500;
    const key = isSecond ? `${prefix} ${event.key}` : event.key;
    prefix = "";
    if (event.key === "g" && !isSecond) { prefix = "g"; prefixAt = Date.now(); return; }
    if (press(key)) event.preventDefault();
  });
  off.addEventListener("change", () => localStorage.setItem(OFF, off.checked ? "1" : "0"));
})();
