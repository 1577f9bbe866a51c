// The log of a run: lines that are text and can be linked, found and copied, and new ones as they come.
(() => {
  "use strict";
  const root = document.getElementById("log"); // not on the page of a run that did not run
  if (!root) return;
  const part = (name) => root.querySelector(`[data-log="${name}"]`);
  const box = part("lines"), news = part("news"), term = part("term");
  const attempt = Number(root.dataset.attempt), words = JSON.parse(root.dataset.words);
  const word = (name, count) => words[name].replace("{}", count.toLocaleString("en"));
  const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium", timeZone: document.documentElement.dataset.zone });
  const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
  const make = (tag, name, text = "") => Object.assign(document.createElement(tag), { className: name, textContent: text });
  const extent = new URL(location).searchParams.get("part") || "ends", most = extent === "all" ? Infinity : root.dataset.most;
  const BLOCK = 200, FOLD = 10000, LONGEST = 1 << 21, SLICE = 40, STREAMS = 3;

  // --- Lines. *open* is the one that has no end yet, *ends* counts the ends so far.
  let style = sgr.unstyled(), open = null, next = 1, ends = 0, block = null, position = "", lines = [];

  function begin(stream, at) {
    if (!block || block.childElementCount === BLOCK) box.append((block = make("div", "log-block")));
    const isError = stream === "stderr", row = make("div", isError ? "log-line err" : "log-line"), number = make("a", "n");
    row.id = `L${next}`;
    Object.assign(number, { href: `#${row.id}`, tabIndex: -1, ariaLabel: isError ? `${row.id}, stderr` : row.id });
    Object.assign(number.dataset, { n: next++, t: at });
    open = { row, number, raw: "", left: 0, style: { ...style } };
    block.append(row);
    lines.push(row);
  }

  function show(ending) {
    const { row, number, raw, left: omitted, style: from } = open;
    const put = (most) => { row.replaceChildren(number); style = { ...from }; return sgr.draw(row, raw, style, most); };
    const left = put(FOLD), after = style;
    if (left) {
      const more = make("button", "fold", word("folded", left));
      more.addEventListener("click", () => { const now = style; put(Infinity); style = now; row.append(ending); });
      row.append(more);
    }
    style = after;
    if (omitted) row.append(make("span", "omitted", word("omitted", omitted)));
    row.append(ending);
  }

  const close = () => { show("\n"); open = null; block.classList.toggle("full", block.childElementCount === BLOCK); };

  function add(text, stream, at) {
    for (const [index, piece] of text.split("\n").entries()) {
      if (index) { if (!open) begin(stream, at); close(); ends += 1; }
      if (!piece) continue;
      if (!open) begin(stream, at);
      // Beyond, only a return of the carriage counts: what is behind it is shown.
      if (open.raw.length < LONGEST || piece.includes("\r")) open.raw += piece; else open.left += piece.length;
      let end = open.raw.length;
      while (end && open.raw[end - 1] === "\r") end -= 1;
      const back = end ? open.raw.lastIndexOf("\r", end - 1) : -1;
      if (back < 0) continue;
      // What was written over is gone, but for its colours.
      sgr.draw(box, open.raw.slice(0, back), open.style, 0);
      open.raw = open.raw.slice(back + 1);
      open.left = 0;
    }
  }

  const handlers = {
    chunk: (data) => add(data.text, data.stream, clock.format(new Date(data.at))),
    cut(data) {
      if (open) add("\n");
      add(data.bytes === null ? `${words.some}\n` : `${word("cut", data.bytes)}\n`, "stdout", "");
      lines.at(-1).classList.add("cut");
    },
    skip(data) {
      if (open) close();
      ends += data.lines;
      next = Math.max(next, ends + 1);
      const all = make("a", "button fold", word("skipped", data.lines)), address = new URL(location);
      address.searchParams.set("part", "all");
      box.append(Object.assign(all, { href: address }));
      block = null;
    },
  };

  // Nothing moves while something is selected.
  const isAtEnd = (selection = getSelection()) => box.scrollTop + box.clientHeight >= box.scrollHeight - 40 && (selection.isCollapsed || !box.contains(selection.anchorNode));
  const toEnd = () => { unseen = 0; showNews(); box.scrollTop = box.scrollHeight; };
  const showNews = () => { news.hidden = !unseen; news.textContent = word(unseen === 1 ? "new" : "news", unseen); };
  const waiting = [];
  let unseen = 0, saidAt = 0, isTaking = false;

  // Take over events, in slices that leave the page usable.
  async function take(events) {
    const before = next, follows = isAtEnd();
    let begun = performance.now();
    for (const [name, data] of events) {
      if (data.attempt && data.attempt !== attempt) part("newer").hidden = false;
      else handlers[name](data);
      if (performance.now() - begun < SLICE) continue;
      await pause(0);
      begun = performance.now();
    }
    if (open) show("");
    // A run may write for days.
    for (let first; !isOver && lines.length > most && (first = box.querySelector(".full")); first.remove()) {
      lines.splice(0, BLOCK);
      part("early").hidden = false;
    }
    part("size").textContent = word(next === 2 ? "line" : "lines", next - 1);
    unseen += next - before;
    if (follows) { toEnd(); requestAnimationFrame(toEnd); } else showNews();
    if (!isOver && Date.now() - saidAt > 10000) [part("said").textContent, saidAt] = [word("said", next - 1), Date.now()];
    if (term.value) find(false);
  }

  async function give(events) {
    waiting.push(...events);
    if (isTaking) return;
    for (isTaking = true; waiting.length; await pause(waiting.length && 100)) await take(waiting.splice(0));
    isTaking = false;
  }

  // --- Links to lines: #L10, or #L10-L20
  let marked = [];
  const range = (match = /^#L(\d+)(?:-L(\d+))?$/.exec(location.hash)) => match && [match[1], match[2] || match[1]].map(Number).sort((a, b) => a - b);

  function showRange(scrolls) {
    const [first, last] = range() || [1, 0];
    for (const row of marked) row.classList.remove("marked");
    for (const row of marked = lines.filter(({ id }) => id.slice(1) >= first && id.slice(1) <= last)) row.classList.add("marked");
    if (scrolls && marked.length) reveal(marked[0]);
    // It may be in the part that is not loaded.
    const all = box.querySelector(":scope > .fold");
    if (scrolls && !marked.length && range() && all) location.replace(all.href.split("#")[0] + location.hash);
  }

  // A block out of sight has a guessed height, and its own once it is in sight.
  function reveal(row) {
    row.scrollIntoView({ block: "center" });
    requestAnimationFrame(() => row.scrollIntoView({ block: "center" }));
  }

  box.addEventListener("click", (event) => {
    const number = event.target.closest("a.n");
    if (!number || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const from = event.shiftKey && range(), row = number.parentElement.id;
    history.replaceState(null, "", location.pathname + location.search + (from ? `#L${from[0]}-${row}` : `#${row}`));
    if (from) getSelection().removeAllRanges();
    showRange(false);
  });
  addEventListener("hashchange", () => showRange(true));

  // --- Find
  let hits = [], hit = -1, typing = 0;

  function find(isNew) {
    for (const row of hits) row.classList.remove("hit", "now");
    const wanted = term.value.toLowerCase(), address = new URL(location);
    hits = wanted ? lines.filter((row) => row.textContent.toLowerCase().includes(wanted)) : [];
    for (const row of hits) row.classList.add("hit");
    if (isNew) hit = 0;
    go(0, isNew);
    address.searchParams[wanted ? "set" : "delete"]("find", term.value);
    if (isNew) history.replaceState(null, "", address);
  }

  function go(step, scrolls = true) {
    hits[hit]?.classList.remove("now");
    hit = hits.length ? (Math.max(hit, 0) + step + hits.length) % hits.length : -1;
    hits[hit]?.classList.add("now");
    part("hits").textContent = term.value ? `${hit + 1}/${hits.length}` : "";
    if (scrolls && hits[hit]) reveal(hits[hit]);
  }

  term.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(() => { typing = 0; find(true); }, 200); });
  term.form.addEventListener("submit", (event) => { event.preventDefault(); if (!typing) go(1); });
  part("previous").addEventListener("click", () => go(-1));

  // --- Choices, kept in this browser
  for (const name of ["wrap", "times", "errors"]) {
    const button = part(name), key = `jobs-log-${name}`;
    const set = (on) => { button.ariaPressed = on; box.classList.toggle(name, on); localStorage.setItem(key, on ? "1" : ""); };
    set(Boolean(localStorage.getItem(key)));
    button.addEventListener("click", () => set(button.ariaPressed !== "true"));
  }
  for (const button of [news, part("follow")]) button.addEventListener("click", toEnd);
  box.addEventListener("scroll", () => unseen && isAtEnd() && toEnd(), { passive: true });

  // Browsers have no clipboard for pages without https, but copy what is selected.
  document.addEventListener("click", ({ target }) => target.matches("[data-copy]") && (getSelection().selectAllChildren(target.previousElementSibling), document.execCommand("copy")));

  // --- New lines: one stream of events in a visible tab, else a question every second
  let source = null, release = null, breaks = 0, misses = 0, isOver = false;

  async function ask(name, value) {
    const address = new URL(root.dataset.address, location);
    address.searchParams.set(name, value);
    const answer = await fetch(address);
    if (!answer.ok) throw Object.assign(new Error("refused"), { status: answer.status });
    const { after, events, is_over } = await answer.json();
    [position, misses, isOver] = [after, 0, is_over];
    await give(events);
  }

  // A browser has few connections to one server: some tabs have a stream, the others ask.
  function slot(number = 1) {
    if (!navigator.locks) return document.hasFocus();
    return number <= STREAMS && new Promise((resolve) => navigator.locks.request(`jobs-app-log-${number}`, { ifAvailable: true }, (lock) => {
      resolve(lock ? true : slot(number + 1));
      return lock && new Promise((done) => { release = done; });
    }));
  }

  function stream() {
    const began = Date.now();
    return new Promise((resolve) => {
      source = new EventSource(`${root.dataset.stream}?last_event_id=${position}`);
      for (const name of ["chunk", "cut", "end"]) source.addEventListener(name, (event) => {
        position = event.lastEventId || position;
        isOver = name === "end";
        if (isOver) resolve(); else give([[name, JSON.parse(event.data)]]);
      });
      source.onerror = () => {
        // A stream ends after a while; one that never began was refused.
        breaks = (Date.now() - began > 10000 ? 0 : breaks) + (source.readyState === EventSource.CLOSED ? 2 : 1);
        resolve();
      };
      document.addEventListener("visibilitychange", () => document.hidden && resolve(), { once: true });
    }).finally(() => { source.close(); release?.(); });
  }

  async function follow() {
    while (!isOver) {
      await pause(Math.min(30000, 1000 * 2 ** misses));
      if (document.hidden) continue;
      try {
        // A run that waits may do so for hours: it needs no connection.
        if (breaks < 2 && document.querySelector('#live [data-state="running"]') && await slot()) await stream();
        else await ask("after", position);
      } catch (error) {
        // Signed out, or no longer allowed: the frame says so.
        if ([401, 403, 404].includes(error.status)) return;
        misses += 1;
      }
    }
    root.dataset.over = "";
  }

  part("bar").hidden = false;
  term.value = new URL(location).searchParams.get("find") || "";
  ask("part", extent)
    .then(() => { showRange(true); if (term.value && !range()) go(0); }, () => { misses = 1; })
    .then(follow);
})();
