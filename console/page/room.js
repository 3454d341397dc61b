// A topic of live as a seat shows it: who is here, and the state. However much happens, it is drawn once for each picture
// of the screen.

import { paint } from "./json.js";
import { Pages } from "./rows.js";
import { stateOf, valueOf } from "./session.js";

const mostListed = 100; // people, or keys, on one page
const mostShown = 300; // characters of a value

export class RoomView {
  #element;
  #session = null;
  #topic = "";
  #drawing = false;
  #shown; // the room that is on screen
  #peoplePages;
  #keyPages;

  // say is called with what should be sent.
  constructor(element, say) {
    this.#element = element;
    this.say = say;
    this.#peoplePages = this.#pages(".here", ".here ~ .pages");
    this.#keyPages = this.#pages(".state-list", ".state-list .pages");
    this.#find(".which select").addEventListener("change", ({ target }) => {
      this.#topic = target.value;
      this.changed();
    });
    this.#find(".set").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#set(event.target.elements);
    });
  }

  // follow shows the rooms of a session from now on; null hides them.
  follow(session) {
    this.#session = session;
    this.#element.hidden = !session;
    this.changed();
  }

  changed() {
    if (this.#drawing) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      if (this.#session) this.#draw();
    });
  }

  #find(selector) {
    return this.#element.querySelector(selector);
  }

  // pages returns the pages of a list that scrolls. place has their buttons.
  #pages(list, place) {
    const turned = () => {
      this.#find(list).scrollTo(0, 0);
      if (this.#shown) this.#shown.changed = true;
      this.changed();
    };
    return new Pages(this.#find(place), turned, mostListed);
  }

  #set({ key, value, kind }) {
    const members = { shared: {}, tied: { _tied: true }, owned: { _own: true } }[kind.value];
    if (!this.say(stateOf(key.value, value.value, { ...members, ...this.#where() }))) return;
    key.value = value.value = "";
    key.focus();
  }

  // where is the topic of a message, if it is not understood without.
  #where() {
    return this.#session.rooms.keys().next().value === this.#topic ? {} : { _topic: this.#topic };
  }

  #draw() {
    const { rooms } = this.#session;
    if (!rooms.has(this.#topic)) this.#topic = rooms.keys().next().value ?? "";
    this.#choices(Array.from(rooms.keys()));
    const room = rooms.get(this.#topic);
    if (room === this.#shown && !room?.changed) return;
    if (room !== this.#shown) for (const pages of [this.#peoplePages, this.#keyPages]) pages.first();
    this.#shown = room;
    if (room) room.changed = false;
    this.#people(room?.here ?? new Map(), room?.more ?? 0);
    this.#keys(room?.state ?? new Map());
  }

  #choices(topics) {
    const list = this.#find(".which select");
    this.#find(".which").hidden = topics.length < 2;
    const same = list.length === topics.length && topics.every((topic, i) => list.options[i].value === topic);
    if (!same) list.replaceChildren(...topics.map((topic) => new Option(topic, topic)));
    list.value = this.#topic;
  }

  #people(here, more) {
    this.#find(".here-count").textContent = here.size.toLocaleString("en") + (more > 0 ? "+" : "");
    const rows = this.#peoplePages.of(Array.from(here), null);
    arrange(this.#find(".here"), rows, ([id]) => id, () => copyOf("person"), (item, [id, user]) => {
      const you = id === this.#session.id;
      const text = user ?? id;
      if (item.firstChild.textContent !== text) item.firstChild.textContent = text;
      item.lastChild.hidden = !you;
      item.classList.toggle("you", you);
      item.classList.toggle("nameless", user === undefined);
    });
    const text = more > 0 ? `and ${more.toLocaleString("en")} more, whom the server does not list` : "";
    const rest = this.#find(".here-rest");
    if (rest.textContent !== text) rest.textContent = text;
  }

  #keys(state) {
    this.#find(".state-count").textContent = state.size.toLocaleString("en");
    this.#find(".keys").hidden = !state.size;
    this.#find(".no-keys").hidden = state.size > 0;
    const rows = this.#keyPages.of(Array.from(state), null);
    arrange(this.#find(".keys tbody"), rows, ([name]) => name, () => this.#keyRow(), (row, [, entry]) => this.#fill(row, entry));
  }

  #keyRow() {
    const row = copyOf("key-row");
    row.querySelector("button").addEventListener("click", () => this.#drop(row.entry));
    return row;
  }

  #fill(row, entry) {
    if (row.entry === entry) return;
    row.entry = entry;
    const { key, kind, who, user, from, text } = entry;
    const [name, value, last] = row.cells;
    const own = kind === "shared" || (kind === "tied" ? who === this.#session.id : who === this.#session.user);
    name.firstChild.textContent = name.title = key;
    name.lastChild.textContent = { shared: "", tied: `tied · ${user ?? from}`, owned: `owned · ${who}` }[kind];
    name.lastChild.title = name.lastChild.textContent;
    const whole = valueOf(text);
    const start = whole.slice(0, mostShown);
    value.replaceChildren();
    paint(value, start);
    value.title = start;
    const drop = last.firstChild;
    drop.hidden = !own;
    drop.ariaLabel = `Drop ${key}`;
  }

  #drop({ key, kind }) {
    const members = { shared: {}, tied: { _tied: true }, owned: { _own: true } }[kind];
    if (this.say(JSON.stringify({ _key: key, ...members, _drop: true, ...this.#where() }))) this.#find(".set").elements.key.focus();
  }
}

const copyOf = (template) => document.getElementById(template).content.firstElementChild.cloneNode(true);

// arrange makes the children of an element those of a list. Those that stay keep their elements, and with them the focus.
function arrange(element, list, keyOf, build, update) {
  const keys = new Set(list.map(keyOf));
  const there = new Map();
  for (const child of Array.from(element.children)) {
    if (keys.has(child.dataset.key)) there.set(child.dataset.key, child);
    else child.remove();
  }
  let next = element.firstElementChild;
  for (const item of list) {
    const key = keyOf(item);
    const child = there.get(key) ?? build();
    child.dataset.key = key;
    update(child, item);
    if (child === next) next = next.nextElementSibling;
    else element.insertBefore(child, next);
  }
}
