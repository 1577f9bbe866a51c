// Instants as the reader needs them: how long ago, how soon, how long it has been running.
(() => {
  "use strict";
  const UNITS = [[90, 1, "s"], [5400, 60, "min"], [129600, 3600, "h"], [5184000, 86400, "days"], [63072000, 2629746, "months"], [Infinity, 31556952, "years"]];

  function span(seconds) {
    const [, size, unit] = UNITS.find(([limit]) => seconds < limit);
    return `${Math.round(seconds / size)} ${unit}`;
  }

  function relative(seconds) {
    if (Math.abs(seconds) < 1) return "now";
    return seconds > 0 ? `in ${span(seconds)}` : `${span(-seconds)} ago`;
  }

  function elapsed(seconds) {
    const whole = Math.max(0, Math.floor(seconds));
    if (whole < 60) return `${whole} s`;
    if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
    return `${Math.floor(whole / 3600)} h ${String(Math.floor(whole / 60) % 60).padStart(2, "0")} min`;
  }

  function update(root) {
    const now = Date.now();
    for (const element of root.querySelectorAll("time[data-relative], time[data-elapsed]")) {
      // A new text came from the server: that is the exact one.
      if (element.textContent !== element.dataset.shown) element.title = element.textContent;
      const seconds = (Date.parse(element.dateTime) - now) / 1000;
      const text = element.hasAttribute("data-elapsed") ? elapsed(-seconds) : relative(seconds);
      if (text !== element.textContent) element.textContent = text;
      element.dataset.shown = text;
    }
  }

  // The server reads the zone of the browser from this cookie, on pages of people who chose none.
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone) {
    const root = document.querySelector("link[rel=stylesheet]").getAttribute("href").split("/assets/")[0] || "/";
    document.cookie = `jobs_browser_zone=${zone}; path=${root}; max-age=31536000; samesite=lax`;
  }
  update(document);
  document.addEventListener("htmx:after:swap", () => update(document));
  setInterval(() => document.hidden || update(document), 1000);
})();
