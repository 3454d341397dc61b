// The list of a seat's frames. It keeps the newest, and has elements only for those that can be seen: a frame is a row of
// the style sheet's --row pixels, and more when it is unfolded. All that happens between two pictures of the screen is drawn at once.

import { folds, hex, hexLine, paint, unfold } from "./json.js";

const lineHeight = 18;
const noteWidth = 30; // characters of a note that are seen in any seat
const mostLines = 16; // of an unfolded frame, before it scrolls
const mostFrames = 10_000;
const mostCharacters = 32 << 20; // of all frames of a seat
const mostShown = 64 << 10; // of an unfolded frame

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const utf8 = new TextEncoder();
const lineBreaks = /\r\n|[\n\v\f\r\x85\u2028\u2029]/g;

let lists = 0;

export class Frames {
  #box; // scrolls
  #space; // is as high as all rows
  #nothing;
  #news;
  #id = `frames-${++lists}`;

  #all = []; // { n, way, data, size, time, by, tag, fate, extra }
  #shown = this.#all; // those that pass the filter
  #open = []; // those of them that are unfolded, in order
  #sieve = "";
  #characters = 0;
  #count = 0;

  #rows = new Map(); // the elements there are, by frame
  #height = 0; // of the box
  #row = 0; // the height of a row
  #painted = 0; // the height of all rows, as it was drawn
  #top = 0; // how far it is scrolled
  #following = true; // it stays at the end
  #unseen = 0; // frames that came while it was not there
  #held = Infinity; // where it was paused: frames from this number on are not shown
  #messages = 0; // frames that are no notes
  #active = null; // the row that the keyboard is at
  #drawing = false;

  // counted is called with the number of frames that are shown and that there are.
  constructor(element, counted) {
    this.#box = element.querySelector(".frames");
    this.#space = element.querySelector(".space");
    this.#nothing = element.querySelector(".nothing");
    this.#news = element.querySelector(".news");
    this.counted = counted;
    this.#box.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.#box.addEventListener("click", (event) => this.#clicked(event));
    this.#box.addEventListener("keydown", (event) => this.#pressed(event));
    this.#news.addEventListener("click", () => {
      this.#following = true;
      this.#draw();
    });
    this.resizing = new ResizeObserver(() => {
      this.#height = this.#box.clientHeight;
      this.#row = parseFloat(getComputedStyle(this.#box).getPropertyValue("--row"));
      this.#draw();
    });
    this.resizing.observe(this.#box);
  }

  // add appends a frame: way is "said", "heard" or "note", by the name of who said it, tag "history", "error" or nothing.
  // It returns the frame.
  add(way, data, { time = Date.now(), by = "", tag = "" } = {}) {
    const size = typeof data === "string" ? data.length : data.byteLength;
    const frame = { n: this.#count++, way, data, size, time, by, tag, fate: "", extra: 0 };
    this.#all.push(frame);
    this.#characters += size;
    if (way !== "note") this.#messages++;
    if (this.#shown !== this.#all && this.#passes(frame)) this.#shown.push(frame);
    if (!this.#following) this.#unseen++;
    if (this.#all.length > mostFrames || this.#characters > mostCharacters) this.#forget();
    this.#draw();
    return frame;
  }

  // mark says what became of a frame that was said: "waits", what went wrong, or nothing.
  mark(frame, fate) {
    if (frame.fate === fate) return;
    frame.fate = fate;
    this.#rows.get(frame)?.remove();
    this.#rows.delete(frame);
    this.#draw();
  }

  clear() {
    this.#all = [];
    this.#characters = this.#unseen = this.#messages = 0;
    this.#following = true;
    this.filter(this.#sieve);
  }

  filter(text) {
    this.#sieve = text.toLowerCase();
    this.#shown = text ? this.#all.filter((frame) => this.#passes(frame)) : this.#all;
    this.#open = this.#shown.filter((frame) => frame.extra);
    this.#draw();
  }

  // pause has what comes from now on wait.
  pause(paused) {
    this.#held = paused ? this.#count : Infinity;
    this.#following = true;
    this.#draw();
  }

  // list returns the frames that are shown.
  list() {
    return this.#shown.slice(0, this.#length());
  }

  // shows reports whether a frame can be seen: it is not filtered out, and waits for no pause to end.
  shows(frame) {
    return frame.n < this.#held && (!this.#sieve || this.#passes(frame));
  }

  // text returns what is shown, a frame a line.
  text() {
    return this.list()
      .filter((frame) => frame.way !== "note")
      .map((frame) => (typeof frame.data === "string" ? frame.data : hexLine(frame.data)))
      .join("\n");
  }

  #passes(frame) {
    return frame.way !== "note" && (typeof frame.data === "string" ? frame.data.toLowerCase() : hexLine(frame.data)).includes(this.#sieve);
  }

  // forget drops the oldest tenth, and more if they are large.
  #forget() {
    const few = Math.ceil(this.#all.length / 10);
    let n = 0;
    while (n < this.#all.length - 1 && (n < few || this.#characters > mostCharacters)) {
      const frame = this.#all[n++];
      this.#characters -= frame.size;
      if (frame.way !== "note") this.#messages--;
    }
    const first = this.#all[n].n;
    const higher = this.#y(this.#at(first));
    this.#all.splice(0, n);
    if (this.#shown !== this.#all) this.#shown = this.#shown.filter((frame) => frame.n >= first);
    this.#open = this.#open.filter((frame) => frame.n >= first);
    if (!this.#following) this.#box.scrollTop = this.#top -= Math.min(this.#top, higher);
  }

  #draw() {
    if (this.#drawing) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      this.#paint();
    });
  }

  // length is how many frames are shown.
  #length() {
    return this.#held === Infinity ? this.#shown.length : this.#at(this.#held);
  }

  // at returns the place of frame number n among the shown.
  #at(n) {
    let [low, high] = [0, this.#shown.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#shown[middle].n < n) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  // y returns where row i begins.
  #y(i) {
    let y = i * this.#row;
    for (const frame of this.#open) {
      if (this.#at(frame.n) >= i) break;
      y += frame.extra;
    }
    return y;
  }

  #paint() {
    const length = this.#length();
    const end = (this.#painted = this.#y(length));
    const room = this.#height / 2 - 30 > end; // it stands in the middle, notes at the top
    this.#nothing.hidden = this.#sieve ? length > 0 : this.#messages > 0 || !room;
    this.#nothing.firstChild.data = this.#sieve ? "No frame contains this." : "Nothing yet.";
    this.#nothing.lastChild.data = this.#sieve ? "" : "What anybody says will be here.";
    this.#space.style.height = `${end}px`;
    if (this.#following) {
      this.#unseen = 0;
      this.#top = Math.max(0, end - this.#height);
      this.#box.scrollTop = this.#top;
    }
    const paused = this.#held < Infinity;
    const waiting = paused ? this.#shown.length - length : this.#unseen;
    this.#news.hidden = !waiting;
    this.#news.textContent = paused ? `Paused: ${waiting.toLocaleString("en")} waiting` : `↓ ${waiting.toLocaleString("en")} new`;
    this.#fill(length);
    this.counted(this.#shown.length, this.#all.length);
  }

  // fill sees to it that what can be seen has elements, and nothing else.
  #fill(length) {
    let [low, high] = [0, length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#y(middle + 1) <= this.#top - 2 * this.#row) low = middle + 1;
      else high = middle;
    }
    const wanted = new Map(); // where they begin
    for (let i = low, y = this.#y(low); i < length && y < this.#top + this.#height + 2 * this.#row; i++) {
      wanted.set(this.#shown[i], y);
      y += this.#row + this.#shown[i].extra;
    }
    for (const [frame, row] of this.#rows) {
      if (wanted.has(frame)) continue;
      row.remove();
      this.#rows.delete(frame);
    }
    let next = this.#space.firstChild; // they stand in their order
    let place = low;
    for (const [frame, y] of wanted) {
      const row = this.#rows.get(frame) ?? this.#element(frame);
      this.#rows.set(frame, row);
      row.style.transform = `translateY(${y}px)`;
      row.setAttribute("aria-posinset", ++place);
      row.setAttribute("aria-setsize", length);
      row.classList.toggle("active", frame === this.#active);
      if (row === next) next = next.nextSibling;
      else this.#space.insertBefore(row, next);
    }
    if (this.#active && wanted.has(this.#active)) this.#box.setAttribute("aria-activedescendant", `${this.#id}-${this.#active.n}`);
    else this.#box.removeAttribute("aria-activedescendant");
  }

  #element(frame) {
    const row = make("div", "frame " + frame.way);
    row.id = `${this.#id}-${frame.n}`;
    row.setAttribute("role", "treeitem");
    row.setAttribute("aria-level", 1);
    const line = row.appendChild(make("div", "line"));
    const past = frame.tag === "history";
    line.append(make("span", "way", past ? "↺" : { said: "→", heard: "←", note: "·" }[frame.way]), this.#what(frame, row));
    const time = make("time", "time", clock.format(frame.time));
    time.append(make("span", "ms", "." + String(frame.time % 1000).padStart(3, "0")));
    line.append(make("span", "size", frame.way === "note" ? "" : bytes(frame.data)), time);
    if (frame.fate) row.classList.add(frame.fate === "waits" ? "waits" : "failed");
    if (frame.tag) row.classList.add({ history: "past", error: "failed" }[frame.tag]);
    if (this.#folds(frame)) row.setAttribute("aria-expanded", frame.extra > 0);
    if (frame.extra) row.append(this.#whole(frame));
    return row;
  }

  // what is a frame on one line.
  #what(frame, row) {
    const what = make("span", "what");
    if (frame.tag === "history") what.append(make("span", "unseen", "history"));
    else if (frame.fate || frame.tag) what.append(make("span", "pill", frame.fate || frame.tag));
    if (frame.by) what.append(make("span", "pill by", frame.by));
    if (typeof frame.data !== "string") {
      const start = hexLine(frame.data.slice(0, 48));
      what.append(make("span", "pill", "hex"), frame.size > 48 ? start + " …" : start);
      return what;
    }
    if (frame.way === "heard" && frame.data.includes("true") && mine(frame.data)) {
      row.classList.add("mine");
      what.append(make("span", "pill", "me"));
    }
    const start = frame.data.slice(0, 600);
    if (frame.way !== "note" && /^\s*[{[]/.test(start)) paint(what, start.replace(lineBreaks, " "));
    else what.append(start.replace(lineBreaks, "⏎"));
    return what;
  }

  #folds(frame) {
    const { data, way } = frame;
    frame.folds ??= typeof data !== "string" || data.length > (way === "note" ? noteWidth : 80) || (way !== "note" && (folds(data) || data.includes("\n")));
    return frame.folds;
  }

  #whole(frame) {
    const whole = make("pre", "whole");
    whole.tabIndex = 0; // it scrolls
    whole.style.height = `${frame.extra - 8}px`;
    const text = this.#unfolded(frame);
    if (typeof frame.data === "string" && folds(frame.data)) paint(whole, text);
    else whole.textContent = text;
    return whole;
  }

  #unfolded(frame) {
    if (typeof frame.data !== "string") return hex(frame.data.slice(0, mostShown / 4));
    return (folds(frame.data) ? unfold(frame.data) : frame.data).slice(0, mostShown);
  }

  #toggle(frame, open = !frame.extra) {
    if (!this.#folds(frame) || open === frame.extra > 0) return;
    const breaks = frame.way === "note" ? Math.floor(frame.data.length / noteWidth) : this.#unfolded(frame).split("\n").length - 1;
    const lines = open ? Math.min(breaks + 1, mostLines) : 0;
    frame.extra = open ? lines * lineHeight + 12 + 8 : 0;
    this.#open = this.#open.filter((other) => other !== frame);
    if (open) {
      this.#open.push(frame);
      this.#open.sort((a, b) => a.n - b.n);
      this.#following = false;
    }
    this.#rows.get(frame)?.remove();
    this.#rows.delete(frame);
    this.#draw();
  }

  #scrolled() {
    const top = this.#box.scrollTop;
    if (Math.abs(top - this.#top) < 1) return; // we did that; meanwhile the box may have shrunk
    this.#height = this.#box.clientHeight; // it scrolls also because it has grown
    this.#following = top + this.#height >= this.#painted - 4;
    this.#top = top;
    this.#draw();
  }

  #clicked(event) {
    const row = event.target.closest(".frame");
    if (!row || event.target.closest(".whole") || String(getSelection())) return;
    for (const [frame, element] of this.#rows) {
      if (element !== row) continue;
      this.#active = frame;
      this.#toggle(frame);
    }
    this.#draw();
  }

  #pressed(event) {
    if (event.target !== this.#box || event.ctrlKey || event.metaKey || event.altKey) return;
    const length = this.#length();
    if (!length) return;
    const now = this.#active ? this.#at(this.#active.n) : length;
    const page = Math.max(1, Math.floor(this.#height / this.#row) - 1);
    const to = { ArrowUp: now - 1, ArrowDown: now + 1, PageUp: now - page, PageDown: now + page, Home: 0, End: length - 1 }[event.key];
    if (to !== undefined) {
      const i = Math.min(Math.max(to, 0), length - 1);
      this.#active = this.#shown[i];
      this.#show(i);
    } else if (!this.#active) return;
    else if (event.key === "Enter" || event.key === " ") this.#toggle(this.#active);
    else if (event.key === "ArrowRight") this.#toggle(this.#active, true);
    else if (event.key === "ArrowLeft") this.#toggle(this.#active, false);
    else return;
    event.preventDefault();
    this.#draw();
  }

  // show scrolls as little as it takes to see row i.
  #show(i) {
    const top = this.#y(i);
    const end = this.#y(i + 1);
    this.#following = i === this.#length() - 1;
    if (top < this.#top) this.#top = top;
    else if (end > this.#top + this.#height) this.#top = end - this.#height;
    this.#box.scrollTop = this.#top;
  }
}

function mine(text) {
  try {
    return JSON.parse(text)._me === true;
  } catch {
    return false;
  }
}

function bytes(data) {
  const n = typeof data === "string" ? utf8.encode(data).length : data.byteLength;
  return n < 1024 ? `${n} B` : `${(n / 1024).toFixed(n < 10240 ? 1 : 0)} KiB`;
}

function make(name, className, text) {
  const element = document.createElement(name);
  element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}
