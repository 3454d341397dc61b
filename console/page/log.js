// What a screen reader reads out of a seat: the messages that it hears, in their order. The list of frames is no place for
// that, because it has elements only for what can be seen.

const every = 250; // ms
const mostAtOnce = 5; // that are read out; of more, the last one and how many there were
const mostKept = 20;
const longest = 200; // characters

export class Log {
  #element;
  #waiting = [];
  #timer;

  constructor(element) {
    this.#element = element;
  }

  // listen says whose log it is, and whether it is read out.
  listen(name, aloud) {
    this.#element.ariaLabel = `What ${name} hears`;
    this.#element.ariaLive = aloud ? "polite" : "off";
  }

  add(data) {
    const line = lineOf(data);
    if (!line) return;
    this.#waiting.push(line);
    this.#timer ??= setTimeout(() => this.#read(), every);
  }

  #read() {
    const all = this.#waiting.splice(0);
    const lines = all.length > mostAtOnce ? [`${all.length} messages. The last one: ${all.at(-1)}`] : all;
    this.#timer = undefined;
    this.#element.append(...lines.map((textContent) => Object.assign(document.createElement("p"), { textContent })));
    while (this.#element.children.length > mostKept) this.#element.firstChild.remove();
  }
}

// lineOf returns what there is to hear in a frame: who says it, and what, without the server's stamps.
function lineOf(data) {
  if (typeof data !== "string") return `${data.byteLength} bytes`;
  const message = parsed(data);
  if (!message) return data.slice(0, longest);
  const { _me, _user, _join, _leave, _hello, _ready, _error } = message;
  if (_hello || _ready || _error) return ""; // errors are told anyway
  if (_join) return `${_join.user ?? "Somebody"} joined.`;
  if (_leave) return `${_leave.user ?? "Somebody"} left.`;
  const own = Object.entries(message).filter(([name]) => name[0] !== "_");
  const text = own.length === 1 && own[0][0] === "data" ? String(own[0][1]) : JSON.stringify(Object.fromEntries(own));
  const who = _me ? "Me: " : _user ? `${_user}: ` : "";
  return (who + text).slice(0, longest);
}

function parsed(text) {
  try {
    const value = JSON.parse(text);
    return value && typeof value === "object" && !Array.isArray(value) ? value : undefined;
  } catch {}
}
