// The seats in the page's address, so that they outlive a reload, and can be given to others: ?app=live&topic=lobby says
// where they are, and &name=Ada&name=Zoe how many there are, and their names. What stands after a name is for that seat alone.
// No key is in it.

import { apps, onThisMachine, topicsFor } from "./apps.js";

export const names = ["Ada", "Ben", "Cleo", "Dev", "Edith", "Finn"];
const longest = 60; // characters of a name

// onPhone: the page is narrow, and comes from another machine.
export const onPhone = !onThisMachine && matchMedia("(max-width: 40rem)").matches;

// fresh returns the seats of a page whose address names none.
const fresh = () => (onPhone ? [{ name: names[Math.floor(Math.random() * names.length)] }] : [{}, {}]);

// seatsIn returns the seats of a query: { app, topics, name }, without a name if the page is to find one.
export function seatsIn(search) {
  const common = {};
  const seats = [];
  for (const [key, value] of new URLSearchParams(search)) {
    if (key === "name") seats.push({ name: value.trim().slice(0, longest) || undefined });
    const seat = seats.at(-1) ?? common;
    if (key === "app" && Object.hasOwn(apps, value)) seat.app = value;
    if (key === "topic" && value) (seat.topics ??= []).push(value);
  }
  return (seats.length ? seats : fresh()).map((seat) => {
    const app = seat.app ?? common.app ?? "broadcast";
    const topics = seat.topics ?? (seat.app ? [] : common.topics) ?? [];
    return { name: seat.name, app, topics: topicsFor(app, topics) };
  });
}

// queryOf returns the shortest query that brings seats back.
export function queryOf(seats) {
  const query = new URLSearchParams();
  const put = ({ app, topics }) => {
    if (app !== "broadcast") query.append("app", app);
    for (const topic of topics) query.append("topic", topic);
  };
  const where = ({ app, topics }) => JSON.stringify([app, topics]);
  const together = seats.every((seat) => where(seat) === where(seats[0]));
  const usual = !onPhone && together && String(seats.map(({ name }) => name)) === String(names.slice(0, 2));
  if (together && seats.length) put(seats[0]);
  for (const seat of usual ? [] : seats) {
    query.append("name", seat.name);
    if (!together) put(seat);
  }
  return query.size ? `?${query}` : "";
}
