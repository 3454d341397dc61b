// The page: seats to talk in, code to paste, and the server as it is now.

import { showAccess, userOfToken } from "./access.js";
import { addressOf, onThisMachine } from "./apps.js";
import { showCode } from "./code.js";
import { copy } from "./copy.js";
import { names, onPhone, queryOf, seatsIn } from "./place.js";
import { showServer } from "./server.js";
import { Seat } from "./seat.js";

const mostSeats = names.length;

const place = document.getElementById("seats");
const add = document.getElementById("add");
const seats = [];

// tell says something in passing: it is shown for a moment, and read out.
let telling;
function tell(text) {
  const said = document.getElementById("said");
  clearTimeout(telling);
  said.textContent = text;
  said.className = "toast";
  telling = setTimeout(() => (said.className = "unseen"), Math.max(2500, 60 * text.length));
}

const { showSeat, showKey } = showCode(tell);
const locked = showAccess(() => {
  for (const seat of seats) seat.rejoin(userOfToken());
});

function sit({ name: wanted, ...where }) {
  const free = names.find((name) => !seats.some((seat) => seat.name === name)) ?? "Somebody";
  const name = userOfToken() ?? wanted ?? free;
  const seat = new Seat({ ...where, name }, { looked: look, changed: keep, left: leave, locked, tell });
  seats.push(seat);
  place.append(seat.element);
  document.getElementById("nobody").hidden = true;
  count();
  return seat;
}

// count says when there is no room for one more.
function count() {
  add.disabled = seats.length >= mostSeats;
  document.getElementById("full").hidden = !add.disabled;
}

// look makes a seat the one whose code is shown, and whose messages are read out.
function look(seat) {
  for (const one of seats) one.listen(one === seat);
  showSeat(seat);
}

// keep writes the seats into the page's address.
function keep() {
  history.replaceState(null, "", location.pathname + queryOf(seats));
}

function leave(seat) {
  const i = seats.indexOf(seat);
  seats.splice(i, 1);
  seat.element.remove();
  count();
  keep();
  const next = seats[Math.min(i, seats.length - 1)];
  (next ?? add).focus();
  look(next);
  document.getElementById("nobody").hidden = Boolean(next);
}

const address = addressOf({ app: "broadcast", topics: [] });
document.getElementById("address").textContent = address;
document.getElementById("copy-address").addEventListener("click", async () => {
  tell((await copy(address)) ? "Copied." : "The browser does not let the page copy.");
});
add.addEventListener("click", () => {
  const { app, topics } = seats.at(-1) ?? { app: "broadcast", topics: [] };
  const seat = sit({ app, topics });
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  seat.element.scrollIntoView({ block: "nearest", behavior: still ? "instant" : "smooth" }); // it may be below the fold
  seat.focus();
  tell(`Added a seat for ${seat.name}.`);
  keep();
});
document.getElementById("share").addEventListener("click", async () => {
  const more = onThisMachine ? "It works on this machine only; crier serve --listen :8080 prints one for others." : "No key is in it.";
  tell((await copy(location.href)) ? `Copied: the address of these seats. ${more}` : "The browser does not let the page copy.");
});

// Two seats from the start, if the page's address names none: what one says the other hears. A phone that has the page from
// another machine begins with one, because there the other is somewhere else: on the next phone, or on the screen that showed
// the address. Its name is any, so that two phones are not both Ada and Ben, and it stays over a reload.
for (const seat of seatsIn(location.search).slice(0, mostSeats)) sit(seat);
if (onPhone) keep();
const [first] = seats;
look(first);
if (matchMedia("(hover: hover)").matches) first.focus(); // elsewhere it would open a keyboard

showServer(tell, showKey, seats);
