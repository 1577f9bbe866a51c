// Keep the region #live current: fast while something runs and somebody looks, slow else.
(() => {
  "use strict";
  const live = document.getElementById("live");
  const notice = document.getElementById("notice"), outage = document.getElementById("outage");
  if (!live) return;
  const BUSY = 2000, ACTIVE = 2500, SLOW = 5000, HIDDEN = 60000, LONGEST = 30000;
  let activeAt = Date.now(), misses = 0, missedAt = null, timer = null, hovered = false;

  function pause() {
    if (document.hidden) return HIDDEN;
    if (misses > 1) return Math.min(LONGEST, 1000 * 2 ** misses);
    if (Date.now() - activeAt > 60000) return SLOW;
    return live.querySelector("[data-busy]") ? BUSY : ACTIVE;
  }

  function plan() {
    clearTimeout(timer);
    timer = setTimeout(refresh, pause() * (0.8 + 0.4 * Math.random())); // not all pages at once
  }

  // Nothing moves under the pointer that is about to press, nor under a selection.
  function isHeld() {
    const selection = document.getSelection();
    const selects = selection && !selection.isCollapsed && live.contains(selection.anchorNode);
    return selects || live.querySelector("dialog[open]") || (hovered && Date.now() - activeAt < 1500);
  }

  function refresh() {
    if (isHeld()) return plan();
    htmx.trigger(live, "refresh");
    plan();
  }

  function say(text, link, label) {
    notice.replaceChildren(text);
    if (!link) return;
    const anchor = document.createElement("a");
    anchor.href = link;
    anchor.textContent = label;
    notice.append(" ", anchor);
  }

  function arrived() {
    if (misses) say("");
    misses = 0;
    missedAt = null;
    document.documentElement.classList.remove("stale");
    plan();
  }

  function missed() {
    misses += 1;
    missedAt = missedAt || new Date();
    if (misses > 1) {
      say(`No answer since ${missedAt.toTimeString().slice(0, 8)}; what you see is from then.`);
      document.documentElement.classList.add("stale");
    }
    plan();
  }

  function answered(event) {
    if (event.target !== live) return;
    const response = event.detail.ctx && event.detail.ctx.response;
    if (!response) return missed();
    if (response.status === 401) return say("You are signed out.", location.href, "Sign in");
    if (response.status >= 500) return missed();
    arrived();
    const line = response.headers.get("Jobs-Outage") || "";
    if (outage && outage.textContent !== line) outage.textContent = line;
    if (response.status === 403 || response.status === 404) say("You may not see this any more, or it is gone.", location.href, "Load it again");
  }

  live.addEventListener("htmx:after:request", answered);
  live.addEventListener("htmx:error", (event) => event.target === live && !(event.detail.ctx && event.detail.ctx.response) && missed());
  live.addEventListener("pointerenter", () => { hovered = true; });
  live.addEventListener("pointerleave", () => { hovered = false; });
  for (const kind of ["pointermove", "keydown"]) {
    document.addEventListener(kind, () => { activeAt = Date.now(); }, { passive: true });
  }
  document.addEventListener("visibilitychange", () => document.hidden ? plan() : refresh());
  window.addEventListener("focus", () => Date.now() - activeAt > SLOW && refresh());
  plan();
})();
