// Coloured output as text nodes: of all escape sequences only SGR is read, the others are dropped.
const sgr = (() => {
  "use strict";
  // SGR; CSI; OSC and its relatives up to their end; two characters; controls, also those of direction.
  const SEQUENCE = /\x1b\[([\d;:]*)m|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?|\x1b[ -/]*[0-~]?|[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
  const ON = { 1: "bold", 2: "dim", 3: "italic", 4: "underline", 7: "inverse", 9: "strike" };
  const OFF = { 22: ["bold", "dim"], 23: ["italic"], 24: ["underline"], 27: ["inverse"], 29: ["strike"] };
  // As terminals have them, to find the nearest; how they look here is in the stylesheet.
  const COLOURS = ["000000", "cd0000", "00cd00", "cdcd00", "0000ee", "cd00cd", "00cdcd", "e5e5e5", "7f7f7f", "ff0000", "00ff00", "ffff00", "5c5cff", "ff00ff", "00ffff", "ffffff"]
    .map((hex) => [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16)));

  const unstyled = () => ({ ink: null, paper: null, flags: [], name: "" });

  function nearest(colour) {
    const far = COLOURS.map((known) => known.reduce((sum, value, i) => sum + (value - colour[i]) ** 2, 0));
    return far.indexOf(Math.min(...far));
  }

  function indexed(number) {
    if (number < 16) return number;
    if (number > 231) return nearest(Array(3).fill(8 + (number - 232) * 10));
    return nearest([36, 6, 1].map((step) => [0, 95, 135, 175, 215, 255][Math.floor((number - 16) / step) % 6]));
  }

  // The colour in what follows 38 or 48: 5 and an index, or 2 and three parts; null if it is none.
  function colour([kind, ...values]) {
    if (!values.length || !values.every((value) => value >= 0 && value <= 255)) return null;
    return kind === 5 ? indexed(values[0]) : kind === 2 && values.length > 2 ? nearest(values.slice(-3)) : null;
  }

  function apply(style, codes) {
    const list = codes.split(";");
    for (let i = 0; i < list.length; i++) {
      let [code, ...more] = list[i].split(":").map(Number);
      if (code === 38 || code === 48 || code === 58) {
        if (!more.length) more = list.slice(i + 1, (i += { 5: 2, 2: 4 }[list[i + 1]] || 1) + 1).map(Number);
        if (code < 58) style[code === 38 ? "ink" : "paper"] = colour(more);
      } else if (code === 0) Object.assign(style, unstyled());
      else if (ON[code] && more[0] !== 0) style.flags = [...new Set([...style.flags, ON[code]])];
      else if (code === 4 || OFF[code]) style.flags = style.flags.filter((flag) => !(OFF[code] || ["underline"]).includes(flag));
      else if (code >= 30 && code <= 39) style.ink = code === 39 ? null : code - 30;
      else if (code >= 40 && code <= 49) style.paper = code === 49 ? null : code - 40;
      else if (code >= 90 && code <= 97) style.ink = code - 82;
      else if (code >= 100 && code <= 107) style.paper = code - 92;
    }
    const names = style.flags.filter((flag) => flag !== "inverse"), isInverse = names.length < style.flags.length;
    const [ink, paper] = isInverse ? [style.paper, style.ink] : [style.ink, style.paper];
    if (isInverse && paper === null) names.push("inverse");
    if (ink !== null && paper === null && !isInverse) names.push(`ink${ink}`);
    if (paper !== null) names.push(`paper${paper}`);
    style.name = names.join(" ");
  }

  // Put *text* into *element*, at most *most* characters; return how many are left out.
  function draw(element, text, style, most = Infinity) {
    let at = 0, room = most, left = 0, piece = "", name = style.name;
    const flush = () => {
      const span = piece && name && document.createElement("span");
      if (span) Object.assign(span, { className: name, textContent: piece });
      if (piece) element.append(span || piece);
      piece = "";
    };
    const put = (until) => {
      const fits = Math.min(until - at, room);
      left += until - at - fits;
      if (!fits) return;
      room -= fits;
      if (name !== style.name) { flush(); name = style.name; }
      piece += text.slice(at, at + fits);
    };
    for (const match of text.matchAll(SEQUENCE)) {
      put(match.index);
      at = match.index + match[0].length;
      if (match[1] !== undefined) apply(style, match[1]);
    }
    put(text.length);
    flush();
    return left;
  }

  return { draw, unstyled };
})();
