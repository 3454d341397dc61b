// A seat: one connection, what it says and what it hears.

import { connect } from "../crier.js";
import { credential, noKey, refuses, whyNot } from "./access.js";
import { addressOf, apps, audience, topicsOf } from "./apps.js";
import { bytesOf, sendFiles } from "./bytes.js";
import { copy } from "./copy.js";
import { Frames } from "./frames.js";
import { kind } from "./json.js";
import { Log } from "./log.js";
import { RoomView } from "./room.js";
import { save } from "./save.js";
import { Session } from "./session.js";

const longestTopic = 256; // bytes, as docs/limits.md has it
const tooLarge = 1009; // a close code
const mostRemembered = 50; // texts that arrow-up brings back

const bytes = (text) => new TextEncoder().encode(text).length;

export class Seat {
  #crier = null;
  #frames;
  #log; // is read out
  #room; // what it shows of a topic of live
  #session = null; // of live
  #said = [];
  #recall = 0;
  #countdown;
  #open; // undefined before there was a connection
  #reached = false; // by this try
  #refusal = null; // what the server says, if the connection cannot tell
  #hex = false; // what is typed are bytes

  // link is when the seat connected, by this machine's clock: { from, to }, without to before it is open.
  link = { from: 0 };

  // what is { app, topics, name }; looked is called when the seat is looked at, changed when that changes, left when it is
  // given up, locked when the server refuses its key.
  constructor(what, { looked, changed, left, locked, tell }) {
    Object.assign(this, what);
    Object.assign(this, { looked, changed, left, locked, tell });
    this.element = document.getElementById("seat").content.firstElementChild.cloneNode(true);
    this.#frames = new Frames(this.#find(".listening"), (shown, all) => {
      const text = `${shown.toLocaleString("en")} of ${all.toLocaleString("en")}`;
      const place = this.#find(".sieve span");
      if (place.textContent !== text) place.textContent = text;
    });
    this.#log = new Log(this.#find(".log"));
    this.#room = new RoomView(this.#find(".room"), (text) => this.#say(text));
    this.#furnish();
    this.#describe();
    this.#join();
  }

  // id is that of the seat's connection, as far as the app tells it.
  get id() {
    return this.#session?.id;
  }

  // rejoin connects anew, under a name if there is one.
  rejoin(name = this.name) {
    this.name = name;
    this.#ask(false);
    this.#describe();
    this.#join();
  }

  // listen says whether what the seat hears is read out.
  listen(aloud) {
    this.#log.listen(this.name, aloud);
  }

  focus() {
    this.#find(".say textarea").focus({ preventScroll: true });
  }

  #find(selector) {
    return this.element.querySelector(selector);
  }

  // furnish gives every button its meaning.
  #furnish() {
    const on = (selector, type, then) => this.#find(selector).addEventListener(type, then);
    this.element.addEventListener("focusin", () => this.looked(this));
    on(".where", "click", () => {
      this.#ask(this.#find(".join").hidden);
      this.#find(".join select").focus();
    });
    on(".join [name=topic]", "input", () => this.#check());
    on(".join [name=name]", "input", () => this.#check());
    on(".join", "submit", (event) => this.#move(event));
    on(".join select", "change", () => this.#explain());
    on(".filter", "click", () => this.#sieve());
    on(".sieve input", "input", (event) => this.#frames.filter(event.target.value));
    on(".sieve input", "keydown", (event) => event.key === "Escape" && this.#sieve());
    on(".pause", "click", () => this.#pause());
    on(".copy", "click", async () => this.tell((await copy(this.#frames.text())) ? "Copied." : "The browser does not let the page copy."));
    on(".save", "click", () => this.#fold(".saving", ".save"));
    for (const [button, kind] of [[".as-text", "txt"], [".as-lines", "jsonl"]]) {
      on(button, "click", () => save(this.#frames.list(), `${this.name} ${audience(this)}`, kind));
    }
    on(".clear", "click", () => this.#frames.clear());
    on(".now", "click", () => {
      this.#crier.reconnect();
      this.focus();
    });
    on(".leave", "click", () => this.#leave());
    on(".say", "submit", (event) => {
      event.preventDefault();
      this.#sayTyped();
    });
    on(".say textarea", "keydown", (event) => this.#typed(event));
    on(".say textarea", "input", () => this.#measure());
    on(".bytes", "click", () => this.#switch());
    const files = this.#find("[type=file]");
    on(".attach", "click", () => files.click());
    files.addEventListener("change", async () => {
      await sendFiles(files.files, (data, what) => this.#say(data, what), this.tell);
      files.value = "";
    });
    const list = this.#find(".join select");
    for (const app of Object.keys(apps)) list.add(new Option(app, app));
  }

  // describe shows who and where the seat is.
  #describe() {
    this.element.setAttribute("aria-label", `${this.name}: ${this.app}, ${audience(this)}`);
    this.#find(".name").textContent = this.name;
    this.#find(".app").textContent = `${this.app} · `;
    this.#find(".audience").textContent = audience(this);
    this.#find(".where").title = "Change app, topic or name";
    const { hints } = apps[this.app];
    this.#find(".hints").replaceChildren(
      ...(typeof hints === "function" ? hints(this) : hints).map((hint) => {
        const button = document.createElement("button");
        button.textContent = hint;
        button.title = "Say this";
        button.addEventListener("click", () => this.#say(hint));
        return button;
      }),
    );
    this.looked(this);
  }

  #join() {
    const before = this.#crier;
    this.#crier = null; // its end is no news
    this.#open = undefined;
    before?.close();
    const first = apps[this.app].first?.(this) ?? [];
    this.#remember();
    const session = this.#session;
    this.#refusal = null;
    const crier = connect(addressOf(this), { token: credential, ...(session ? { app: this.app, WebSocket: session.Socket } : { first }) });
    this.#crier = crier;
    const mine = (then) => (event) => crier === this.#crier && then(event);
    if (!session) crier.addEventListener("message", mine((event) => this.#hear(event.data)));
    crier.addEventListener("state", mine(() => this.#state(first)));
    this.#state(first);
  }

  // remember begins a session, if the app has any. It reads all frames before crier.js does.
  #remember() {
    const mine = (then) => (...what) => session === this.#session && then(...what);
    const session = apps[this.app].remembers
      ? new Session({
          heard: mine((data, known) => this.#hear(data, known)),
          greeted: mine((text) => this.#frames.add("note", text)),
          changed: mine(() => this.#room.changed()),
          failed: mine((sentence) => this.tell(`${this.name}: ${sentence}`)),
        })
      : null;
    this.#session = session;
    this.element.classList.toggle("remembers", session !== null);
    this.#room.follow(session);
  }

  // hear shows a frame, and has it read out unless it is of the past or not to be seen.
  #hear(data, known = {}) {
    const frame = this.#frames.add("heard", data, known);
    if (!known.tag && this.#frames.shows(frame)) this.#log.add(data);
  }

  // inquire finds out whether the server wants a key. A client that shows one is told why it is refused.
  async #inquire() {
    if (credential()) return;
    const crier = this.#crier;
    const refusal = await whyNot();
    if (refusal && crier === this.#crier && crier.status !== "open") this.#refuse(refusal);
  }

  // refuse ends the tries of a seat that the server does not let in, which crier.js cannot know.
  #refuse(refusal) {
    this.#refusal = refusal;
    this.#crier.close();
  }

  // state shows how the connection is, and keeps a note of it among the frames.
  #state(first) {
    const { status: state, retryAt } = this.#crier;
    const ended = this.#refusal ?? this.#crier.ended;
    const sentence = ended?.reason.replace(/^[a-z-]+: /, ""); // without its name
    const why = ended && [ended.code === 1006 ? "" : ended.code, sentence].filter(Boolean).join(" ");
    clearInterval(this.#countdown);
    if (state === "waiting" && /^expired\b/.test(ended.reason) && credential()) {
      return this.#refuse({ code: noKey, reason: ended.reason }); // until there is another token
    }
    const place = this.#find(".state");
    this.element.dataset.state = state;
    place.textContent = { connecting: "connecting…", open: "", waiting: "", closed: "left" }[state];
    this.#find(".now").hidden = state !== "waiting";
    if (state === "connecting") {
      this.#reached = false;
      this.link = { from: Date.now() };
    }
    if (state === "open") {
      this.#reached = true;
      this.link.to = Date.now();
      if (this.#open === false) this.tell(`${this.name} is connected again.`);
      this.#open = true;
      if (!this.#session) this.#frames.add("note", "connected"); // a session says how
      for (const text of first) this.#frames.add("said", text);
    }
    if (state === "waiting") {
      if (this.#open !== false) this.#frames.add("note", `${this.#open ? "connection lost" : "no connection"}${why && ": " + why}`);
      if (this.#open) this.tell(`${this.name} has lost the connection.`);
      this.#open = false; // one note will do, until there is one again
      const count = () => (place.textContent = `lost; again in ${Math.max(0, (retryAt - Date.now()) / 1000).toFixed(1)} s`);
      this.#countdown = setInterval(count, 100);
      count();
      if (!this.#reached) this.#inquire();
    }
    if (state === "closed") {
      const refused = refuses(ended);
      this.#frames.add("note", refused ? `refused: ${sentence}` : `closed: ${why}`);
      if (ended.code === tooLarge) return this.#join();
      place.textContent = ended.code === 1000 ? "closed by the server" : refused ? "refused" : "closed";
      if (ended.code === noKey) return this.locked(sentence);
      this.#ask(true);
      this.#find(".refused").textContent = refused ? `The server says: ${sentence}.` : "";
    }
  }

  // say sends a text or bytes. what says what they are, if they do not.
  #say(data, what = "") {
    if (this.#crier.status === "closed") {
      this.tell("This seat is not connected: join again.");
      return false;
    }
    if (what) this.#frames.add("note", what);
    const frame = this.#frames.add("said", data);
    const crier = this.#crier;
    if (crier.status !== "open") this.#frames.mark(frame, "waits");
    crier.send(data).then((fate) => {
      const lost = crier.ended?.code === tooLarge ? "too large" : "perhaps lost";
      this.#frames.mark(frame, { unsure: lost, dropped: "not sent", refused: "refused" }[fate] ?? "");
    });
    return true;
  }

  #sayTyped() {
    const field = this.#find(".say textarea");
    if (field.value === "") return field.focus();
    const data = this.#hex ? bytesOf(field.value) : field.value;
    if (data === undefined) return this.tell("These are not bytes in hex, such as 00 ff 48 69.");
    if (!this.#say(data)) return;
    this.#said = [...this.#said.slice(1 - mostRemembered), field.value];
    this.#recall = this.#said.length;
    field.value = "";
    this.#measure();
    field.focus();
  }

  // typed: Enter says it, Shift-Enter is a new line, arrow-up brings back what was said before.
  #typed(event) {
    const field = event.target;
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      this.#sayTyped();
      return;
    }
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    const untouched = field.value === "" || field.value === this.#said[this.#recall];
    if (!step || !untouched || this.#said[this.#recall + step] === undefined) return;
    event.preventDefault();
    this.#recall += step;
    field.value = this.#said[this.#recall];
    this.#measure();
  }

  // measure makes the field as high as what is in it, and tells what crier will take it for.
  #measure() {
    const field = this.#find(".say textarea");
    const { value } = field;
    field.rows = Math.min(value.split("\n").length, 6);
    const place = this.#find(".kind");
    const looks = /^\s*[{[]/.test(value);
    let what = value === "" ? "" : kind(value);
    if (looks && what === "text") what = "not JSON";
    if (what && this.#hex) what = bytesOf(value) ? `${bytesOf(value).byteLength} B` : "not hex";
    place.textContent = what;
    place.classList.toggle("off", what.startsWith("not "));
  }

  // switch has what is typed be bytes, or a text again.
  #switch() {
    this.#hex = !this.#hex;
    const field = this.#find(".say textarea");
    this.#find(".bytes").setAttribute("aria-pressed", this.#hex);
    field.placeholder = field.ariaLabel = this.#hex ? "Bytes in hex" : "Say something";
    this.#measure();
    field.focus();
  }

  #ask(open) {
    const form = this.#find(".join");
    form.hidden = !open;
    this.element.classList.toggle("joining", open);
    this.#find(".refused").textContent = "";
    this.#find(".where").setAttribute("aria-expanded", open);
    if (!open) return;
    form.app.value = this.app;
    form.topic.value = this.topics.join(", ");
    form.elements.name.value = this.name;
    this.#explain();
  }

  #explain() {
    const form = this.#find(".join");
    const app = apps[form.app.value];
    form.topic.placeholder = app.needs ?? app.everyone;
    form.topic.disabled = !app.needs && form.app.value !== "broadcast";
    this.#find(".about").textContent = app.about;
    this.#check();
  }

  // check says what the server would say of the topics and the name.
  #check() {
    const { topic, app, name } = this.#find(".join").elements;
    const { longestName } = apps[app.value];
    const long = topicsOf(app.value, topic.value).some((name) => bytes(name) > longestTopic);
    topic.setCustomValidity(long && !topic.disabled ? `A topic has at most ${longestTopic} bytes.` : "");
    name.setCustomValidity(bytes(name.value.trim()) > longestName ? `A name has at most ${longestName} bytes.` : "");
  }

  #move(event) {
    event.preventDefault();
    const form = event.target;
    this.app = form.app.value;
    this.topics = topicsOf(this.app, form.topic.disabled ? "" : form.topic.value);
    this.name = form.elements.name.value.trim() || this.name;
    this.#ask(false);
    this.#describe();
    this.#join();
    this.focus();
    this.changed();
  }

  // fold shows or hides a row that belongs to a button.
  #fold(row, button) {
    const field = this.#find(row);
    field.hidden = !field.hidden;
    this.#find(button).setAttribute("aria-expanded", !field.hidden);
    return field;
  }

  #sieve() {
    const field = this.#fold(".sieve", ".filter");
    const input = field.querySelector("input");
    if (!field.hidden) return input.focus();
    input.value = "";
    this.#frames.filter("");
    this.#find(".filter").focus();
  }

  #pause() {
    const button = this.#find(".pause");
    const paused = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", paused);
    button.title = paused ? "Go on" : "Pause";
    button.querySelector("use").setAttribute("href", paused ? "#i-resume" : "#i-pause");
    this.#frames.pause(paused);
  }

  #leave() {
    clearInterval(this.#countdown);
    const crier = this.#crier;
    this.#crier = null;
    crier.close();
    this.#session = null;
    this.#frames.resizing.disconnect();
    this.left(this);
  }
}
