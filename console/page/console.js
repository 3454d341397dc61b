// The page: seats to talk in, code to paste, and the server as it is now.

import { showAccess, userOfToken } from "./access.js";
import { addressOf, apps, topicsFor } from "./apps.js";
import { showCode } from "./code.js";
import { copy } from "./copy.js";
import { showServer } from "./server.js";
import { Seat } from "./seat.js";

const names = ["Ada", "Ben", "Cleo", "Dev", "Edith", "Finn"];
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
  telling = setTimeout(() => (said.className = "unseen"), 2500);
}

const { showSeat, showKey } = showCode(tell);
const locked = showAccess(() => {
  for (const seat of seats) seat.rejoin(userOfToken());
});

function sit(what) {
  const name = userOfToken() ?? names.find((name) => !seats.some((seat) => seat.name === name)) ?? "Somebody";
  const seat = new Seat({ ...what, name }, { changed: showSeat, left: leave, locked, tell });
  seats.push(seat);
  place.append(seat.element);
  document.getElementById("nobody").hidden = true;
  add.disabled = seats.length === mostSeats;
  return seat;
}

function leave(seat) {
  const i = seats.indexOf(seat);
  seats.splice(i, 1);
  seat.element.remove();
  add.disabled = false;
  const next = seats[Math.min(i, seats.length - 1)];
  (next ?? add).focus();
  showSeat(next);
  document.getElementById("nobody").hidden = Boolean(next);
}

const address = addressOf({ app: "broadcast", topics: [] });
document.getElementById("address").textContent = address;
document.getElementById("copy-address").addEventListener("click", async () => {
  tell((await copy(address)) ? "Copied." : "The browser does not let the page copy.");
});
add.addEventListener("click", () => {
  const { app, topics } = seats.at(-1) ?? { app: "broadcast", topics: [] };
  sit({ app, topics }).focus();
});

// Two seats from the start: what one says the other hears. /?topic=a in the page's address is their topic.
const query = new URLSearchParams(location.search);
const app = Object.hasOwn(apps, query.get("app")) ? query.get("app") : "broadcast";
const topics = topicsFor(app, query.getAll("topic").filter(Boolean));
const [first] = [sit({ app, topics }), sit({ app, topics })];
showSeat(first);
if (matchMedia("(hover: hover)").matches) first.focus(); // elsewhere it would open a keyboard

showServer(tell, showKey, (id) => seats.find((seat) => seat.id === id));
