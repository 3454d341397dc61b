// Which rows of the list of connections are this page's own. Live tells a client its id, and the other apps do not. There, a
// row is a seat's if it is of this browser, is in the seat's app and topics, and began when the seat connected. Browsers
// connect to a server with one WebSocket after the other, so the order of the rows is that of the seats.

const slack = 100; // ms by which the clocks may be off

// own returns the seats by the ids of their connections. rows is the list from its beginning. clock is { ahead, unsure }: how
// far the server's clock is ahead of this one's, give or take.
export function own(seats, rows, { ahead, unsure }) {
  const found = new Map();
  const ids = new Set(rows.map((row) => row.connectionId));
  const open = seats.filter(({ link }) => link.to).sort((a, b) => a.link.from - b.link.from);
  for (const seat of open) {
    const id = seat.id ?? seat.link.id;
    if (ids.has(id)) found.set(id, seat);
  }
  for (const seat of open) {
    if (seat.id || ids.has(seat.link.id)) continue;
    const { from, to } = seat.link;
    const since = (row) => Date.parse(row.connectedAt) - ahead;
    const row = rows.find((row) => !found.has(row.connectionId) && fits(seat, row) && since(row) > from - slack - unsure && since(row) < to + slack + unsure);
    if (!row) continue;
    seat.link.id = row.connectionId;
    found.set(row.connectionId, seat);
  }
  return found;
}

function fits({ app, topics }, row) {
  const wanted = app === "rooms" || topics.length ? topics : [""]; // everyone
  return row.app === app && row.identity.userAgent === navigator.userAgent && (app === "rooms" || String([...wanted].sort()) === String([...row.topics].sort()));
}
