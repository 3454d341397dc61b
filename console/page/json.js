// What frames look like: JSON with its bytes kept, and bytes as hex.

const token = /("(?:[^"\\]|\\.)*")(\s*:)?|(-?\d[\d.eE+-]*)|(true|false|null)|([{}[\],])|(\s+)|([^])/g;
const stamps = new Set(['"_now"', '"_me"', '"_topic"', '"_id"', '"_user"', '"_from"', '"_offset"']);

// kind tells what a text is to crier: "JSON", or "text".
export function kind(text) {
  try {
    JSON.parse(text);
    return "JSON";
  } catch {
    return "text";
  }
}

// folds reports whether there is something to unfold in a text.
export function folds(text) {
  return /^\s*[{[]\s*[^}\]\s]/.test(text) && kind(text) === "JSON";
}

// paint appends a JSON text to an element, in colours; the server's stamps step back.
export function paint(element, text) {
  let group = element;
  let depth = 0;
  for (const [all, string, colon, number, word, mark] of text.matchAll(token)) {
    if (mark === "{" || mark === "[") depth++;
    if (mark === "}" || mark === "]") depth--;
    if (group !== element && depth < 2 && (mark === "," || mark === "}")) group = element;
    if (colon && depth === 1 && stamps.has(string)) {
      group = element.appendChild(document.createElement("span"));
      group.className = "j-stamp";
    }
    const style = colon ? "j-key" : string ? "j-string" : number ? "j-number" : word ? "j-word" : mark ? "j-mark" : "";
    if (!style) {
      group.append(all);
      continue;
    }
    const span = group.appendChild(document.createElement("span"));
    span.className = style;
    span.textContent = all;
  }
}

// unfold returns a JSON text with a line for each member. Nothing of it is changed but white space.
export function unfold(text) {
  let out = "";
  let depth = 0;
  let empty = false;
  const line = () => "\n" + "  ".repeat(depth);
  for (const [, string, colon, number, word, mark] of text.matchAll(token)) {
    const value = string ?? number ?? word;
    if (value !== undefined) {
      if (empty) out += line();
      out += value + (colon ? ": " : "");
    } else if (mark === "{" || mark === "[") {
      if (empty) out += line();
      out += mark;
      depth++;
    } else if (mark === "}" || mark === "]") {
      depth--;
      out += (empty ? "" : line()) + mark;
    } else if (mark === ",") {
      out += mark + line();
    } else continue;
    empty = mark === "{" || mark === "[";
  }
  return out;
}

const pair = (byte) => byte.toString(16).padStart(2, "0");

// hexLine returns bytes on one line.
export const hexLine = (buffer) => Array.from(new Uint8Array(buffer), pair).join(" ");

// hex returns bytes as people read them, 16 a line with their offset and text.
export function hex(buffer) {
  const bytes = new Uint8Array(buffer);
  let out = "";
  for (let at = 0; at < bytes.length; at += 16) {
    const part = Array.from(bytes.subarray(at, at + 16));
    const text = part.map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : "·")).join("");
    out += (at ? "\n" : "") + at.toString(16).padStart(6, "0") + "  " + part.map(pair).join(" ").padEnd(49) + text;
  }
  return out;
}
