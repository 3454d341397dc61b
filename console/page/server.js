// The server as it is now: asked every two seconds, while somebody looks.

import { server } from "./apps.js";
import { listsIn, several } from "./lists.js";
import { compact, fill, make, sum } from "./rows.js";

const every = 2000;
const patience = 5000;
const points = 150; // of a chart: five minutes
const fewest = 30; // that it is drawn for: a minute

const tiles = [
  { name: "Connections", value: (now) => sum(now.connections), more: byApp },
  { name: "Topics", value: (now) => now.topics, more: (now) => (now.backlog > 64 << 10 ? `backlog ${bytes(now.backlog)}` : several(now) ? "summed over servers" : "") },
  { name: "Messages / s", value: (now, before) => total(now, before, "messages"), more: (now) => `${compact(now.messages)} in all` },
  { name: "Deliveries / s", value: (now, before) => total(now, before, "deliveries"), more: (now) => `${compact(now.deliveries)} in all` },
];


function byApp({ connections }) {
  return Object.entries(connections)
    .filter(([, n]) => n)
    .sort(([, a], [, b]) => b - a)
    .map(([app, n]) => `${app} ${compact(n)}`)
    .join(" · ");
}

// rate is how much a counter grew in a second. A server that began anew counts anew.
function rate(now, before, counter) {
  if (!before || now.now <= before.now || now[counter] < before[counter]) return 0;
  return ((now[counter] - before[counter]) * 1000) / (now.now - before.now);
}

// rateOf is the rate of one of several servers. One that did not answer before has none yet.
function rateOf(name, now, before, counter) {
  const own = (stats) => stats?.each?.find(({ server }) => server === name);
  const [one, past] = [own(now), own(before)];
  return past ? rate({ ...one, now: now.now }, { ...past, now: before.now }, counter) : 0;
}

// total is the rate of the server, or of several: of those that answered both times. The sum of their counters leaps when
// one answers again.
function total(now, before, counter) {
  if (!several(now)) return rate(now, before, counter);
  return now.each.reduce((all, { server }) => all + rateOf(server, now, before, counter), 0);
}

function bytes(n) {
  const unit = n < 1024 ? ["B", 1] : n < 1 << 20 ? ["KiB", 1024] : ["MiB", 1 << 20];
  return `${(n / unit[1]).toFixed(n < 10 * unit[1] && unit[1] > 1 ? 1 : 0)} ${unit[0]}`;
}

const svg = (name, attributes) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
};

// A Chart is a number and how it was over the last minutes.
class Chart {
  #past = [];
  #value = make("span", { className: "value", textContent: "0" });
  #more = make("span", { className: "more" });
  #peak = make("small", { className: "peak" });
  #area = svg("path", { class: "area" });
  #edge = svg("path", { class: "edge" });

  #picture = svg("svg", { class: "chart", preserveAspectRatio: "none", "aria-hidden": "true" });

  constructor(tile) {
    this.tile = tile;
    const picture = this.#picture;
    picture.append(this.#area, this.#edge);
    this.element = make("figure", { className: "card tile" }, make("figcaption", {}, make("h3", { textContent: tile.name }), this.#value, this.#more), this.#peak, picture);
  }

  add(now, before) {
    const value = this.tile.value(now, before);
    this.#value.textContent = compact(value);
    this.#more.textContent = this.tile.more(now);
    this.#more.title = this.#more.textContent;
    this.#past = [...this.#past.slice(1 - points), value];
    const most = Math.max(...this.#past);
    const top = Math.max(most, 1) * 1.15;
    this.#peak.textContent = most > value ? `peak ${compact(most)}` : "";
    const width = Math.max(this.#past.length, fewest) - 1;
    const x = (i) => width + 1 - this.#past.length + i;
    const y = (v) => (39 - (v / top) * 38).toFixed(2);
    const line = this.#past.map((v, i) => `${x(i)} ${y(v)}`).join("L");
    this.#edge.setAttribute("d", this.#past.length > 1 ? `M${line}` : "");
    this.#area.setAttribute("d", this.#past.length > 1 ? `M${x(0)} 40L${line}L${width} 40Z` : "");
    this.#picture.setAttribute("viewBox", `0 0 ${width} 40`);
  }
}

// showServer shows the server. wantsKey is called when it turns out that the server has an admin key. seats are those of
// this page.
export function showServer(tell, wantsKey, seats) {
  const picture = document.getElementById("picture");
  const keyForm = document.getElementById("key");
  const keyless = document.getElementById("keyless");
  const state = document.getElementById("live-state");
  const charts = tiles.map((tile) => new Chart(tile));
  picture.querySelector(".tiles").append(...charts.map((chart) => chart.element));
  const showServers = serversIn(picture.querySelector(".servers"));
  let before = null;
  let visible = false;
  let timer;

  const headers = () => {
    const key = sessionStorage.getItem("crier-admin-key");
    return key ? { Authorization: `Bearer ${key}` } : {};
  };
  const ask = (path, options = {}) => fetch(new URL(path, server), { ...options, headers: headers(), cache: "no-store", signal: AbortSignal.timeout(patience) });

  const showLists = listsIn(picture, ask, { tell, changed: look, seats });

  async function look() {
    clearTimeout(timer);
    if (document.hidden || !visible) return;
    try {
      const asked = Date.now();
      const answer = await ask("stats");
      const unsure = (Date.now() - asked) / 2;
      if (answer.status === 401 || (answer.status === 403 && headers().Authorization)) return locked(answer.headers.get("X-Amzn-ErrorType") === "NoAdminKeyException");
      if (!answer.ok) throw new Error(`the server says ${answer.status}`);
      const now = await answer.json();
      const unlocked = keyForm.contains(document.activeElement);
      keyForm.hidden = keyless.hidden = true;
      picture.hidden = false;
      if (unlocked) document.getElementById("live").focus(); // what had the focus is gone
      picture.classList.remove("gone");
      say(now.answered < now.servers ? `${answering(now)}. The others are missing from these numbers.` : "Since you opened this page, five minutes at most.");
      for (const chart of charts) chart.add(now, before);
      showServers(now, before);
      before = now;
      await showLists(now, { ahead: now.now - asked - unsure, unsure });
    } catch (error) {
      picture.classList.add("gone");
      const why = /TypeError|TimeoutError/.test(error.name) ? "" : `: ${error.message}`; // theirs are the browser's own words
      say(`No answer from the server${why}. Asking again.`);
    }
    timer = setTimeout(look, every);
  }

  // say tells how it is. Who is told again what is so already is only disturbed.
  function say(text) {
    if (state.textContent !== text) state.textContent = text;
  }

  // locked asks for the key, if there is one.
  function locked(noKey) {
    const tried = sessionStorage.getItem("crier-admin-key");
    sessionStorage.removeItem("crier-admin-key");
    picture.hidden = true;
    keyForm.hidden = noKey;
    keyless.hidden = !noKey;
    if (noKey) return say("The server has no admin key, so it shows itself on its own machine only.");
    wantsKey();
    say("The server wants its admin key: what crier serve was given with --admin-key-file. It is kept until this tab is closed.");
    document.getElementById("key-wrong").textContent = tried ? "This is not the key." : "";
    if (tried) document.getElementById("key-field").focus();
  }

  keyForm.addEventListener("submit", (event) => {
    event.preventDefault();
    const key = document.getElementById("key-field").value;
    sessionStorage.setItem("crier-admin-key", /^[!-~ ]*$/.test(key) ? key : "?"); // a header can have nothing else
    look();
  });
  document.addEventListener("visibilitychange", look);
  new IntersectionObserver((entries) => {
    visible = entries.at(-1).isIntersecting; // the others are what it was meanwhile
    look();
  }, { rootMargin: "100%" }).observe(document.getElementById("live-section"));
}

// answering says how many of several servers answer.
function answering({ servers, answered }) {
  return `${answered} of ${servers} servers ${answered === 1 ? "answers" : "answer"}`;
}

// serversIn returns what shows several servers in a card. A server says who it is in its answer only, so the card remembers
// the names of those that do not answer any more.
function serversIn(card) {
  let names = []; // of all servers, when all of them answered

  // silent lists those that do not answer: by name, if it is sure whose answers are missing.
  function silent({ servers, answered, each }) {
    const away = names.filter((name) => !each.some(({ server }) => server === name));
    const nameless = servers - answered - away.length;
    if (nameless < 0) return [`${servers - answered} more`];
    return nameless ? [...away, `${nameless} more`] : away;
  }

  return (now, before) => {
    card.hidden = !several(now);
    if (card.hidden) return;
    const rows = [...now.each].sort((a, b) => a.server.localeCompare(b.server, "en", { numeric: true }));
    if (now.answered === now.servers) names = rows.map(({ server }) => server);
    else rows.push(...silent(now).map((server) => ({ server, silent: true })));
    rows.forEach((row, i) => (row.place = i));
    card.querySelector(".count").textContent = now.answered === now.servers ? compact(now.servers) : `${now.answered} of ${now.servers} answer`;
    fill(card, rows, ({ place }) => String(place), serverRow, (tr, row) => {
      const [name, held, said, given] = tr.cells;
      name.textContent = name.title = row.server;
      held.textContent = row.silent ? "no answer" : compact(row.connections);
      held.classList.toggle("silent", Boolean(row.silent));
      said.textContent = row.silent ? "" : compact(rateOf(row.server, now, before, "messages"));
      given.textContent = row.silent ? "" : compact(rateOf(row.server, now, before, "deliveries"));
    });
  };
}

function serverRow() {
  const cells = ["held", "rate", "rate"].map((name) => make("td", { className: "number " + name }));
  return make("tr", {}, make("th", { scope: "row" }), ...cells);
}
