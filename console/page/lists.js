// The lists of topics and connections, and what can be done with them: publish, post and kick.

import { own } from "./own.js";
import { compact, duration, fill, make, Pages, sum } from "./rows.js";

export const several = ({ servers }) => servers > 1;

// listsIn shows the lists in an element. ask sends a request to the server; changed is called when they should be asked for
// anew; seats are those of this page. It returns what to call with the statistics and the server's clock.
export function listsIn(picture, ask, { tell, changed, seats }) {
  const topics = picture.querySelector(".topics");
  const connections = picture.querySelector(".connections");
  const topicPages = new Pages(topics.querySelector(".pages"), changed);
  const connectionPages = new Pages(connections.querySelector(".pages"), changed);
  const post = postIn(ask, tell);
  let only = null; // the topic whose connections are listed: { app, topic }
  publishIn(ask, tell, picture.querySelector(".publish"), () => only);

  async function list(path) {
    const answer = await ask(path);
    if (!answer.ok) throw new Error(`${answer.status}`);
    return answer.json();
  }

  async function showTopics(now) {
    const rows = await list(`topics?limit=${topicPages.limit}`);
    const shown = topicPages.of(rows, several(now) ? undefined : now.topics);
    fill(topics, shown, (row) => row.app + "\n" + row.topic, topicRow, (tr, row) => (tr.cells[2].textContent = compact(row.members)));
  }

  function topicRow({ app, topic }) {
    const pick = make("button", { className: "link", textContent: topic || "everyone", title: `List the connections of ${topic || "everyone"}` });
    pick.addEventListener("click", () => narrow({ app, topic }));
    return make("tr", {}, make("td", { textContent: app }), make("td", {}, pick), make("td", { className: "number" }));
  }

  function narrow(to) {
    only = to;
    connectionPages.first();
    const place = connections.querySelector(".only");
    place.replaceChildren();
    if (only) {
      const all = make("button", { textContent: `of ${only.app}, ${only.topic || "everyone"} ✕`, ariaLabel: "List all connections" });
      all.addEventListener("click", () => narrow(null));
      place.append(all);
    }
    changed();
  }

  async function showConnections(now, clock) {
    const query = only ? `&app=${encodeURIComponent(only.app)}&topic=${encodeURIComponent(only.topic)}` : "";
    const rows = await list(`@connections?limit=${connectionPages.limit}${query}`);
    const mine = own(seats, rows, clock);
    const shown = connectionPages.of(rows, only ? undefined : sum(now.connections));
    fill(connections, shown, (row) => row.connectionId, connectionRow, (tr, row) => showConnection(tr, row, now, mine.get(row.connectionId)));
  }

  function connectionRow({ connectionId: id, identity }) {
    const says = make("button", { textContent: "Post…" });
    const kick = make("button", { textContent: "Kick" });
    says.addEventListener("click", () => post(id, says.ariaLabel));
    kick.addEventListener("click", () => sure(kick, () => remove(id)));
    const who = make("td", {}, make("span", { className: "whom", title: id }), " ", make("span", { className: "pill", hidden: true, textContent: "this page" }), make("span", { className: "pill slowed", hidden: true, textContent: "throttled", title: "It sends more than --rate allows, so the server reads it more slowly." }), make("small", { textContent: browser(identity), title: identity.userAgent ?? "" }));
    const cells = ["age", "quiet", "unread"].map((name) => make("td", { className: "number " + name }));
    return make("tr", {}, who, make("td", { className: "whither" }, "", make("small")), ...cells, make("td", { className: "doing" }, says, " ", kick));
  }

  async function remove(id) {
    const answer = await ask(`@connections/${encodeURIComponent(id)}`, { method: "DELETE" }).catch(() => null);
    tell(answer?.ok ? "Kicked." : answer?.status === 410 ? "It was gone already." : "That did not work.");
    changed();
  }

  return (now, clock) => Promise.all([showTopics(now), showConnections(now, clock)]);
}

// showConnection shows how a connection is now. seat is that of this page, if it is one of them.
function showConnection(tr, row, now, seat) {
  const [who, where, age, quiet, unread, doing] = tr.cells;
  const id = row.connectionId;
  const name = row.user || seat?.name || id;
  const whom = who.firstChild;
  whom.textContent = name;
  whom.classList.toggle("nameless", name === id);
  const [post, kick] = doing.children;
  post.ariaLabel = `Post to ${name}`;
  if (!kick.classList.contains("sure")) kick.ariaLabel = `Kick ${name}`;
  who.querySelector(".slowed").hidden = !row.throttled;
  who.querySelector(".pill").hidden = !seat;
  const at = several(now) ? row.server : "";
  const place = `${row.app} · ${row.topics.map((topic) => topic || "everyone").join(", ") || "no topic"}`;
  where.firstChild.data = place;
  where.title = at ? `${place}, on ${at}` : place;
  where.querySelector("small").textContent = at ? `on ${at}` : "";
  age.textContent = duration(now.now - Date.parse(row.connectedAt));
  quiet.textContent = duration(now.now - Date.parse(row.lastActiveAt));
  unread.textContent = compact(row.unread);
}

// sure has a button pressed twice.
function sure(button, then) {
  if (button.classList.contains("sure")) return then();
  const { ariaLabel, textContent } = button;
  button.classList.add("sure");
  Object.assign(button, { textContent: "Sure?", ariaLabel: `Sure? ${ariaLabel}` });
  setTimeout(() => {
    button.classList.remove("sure");
    Object.assign(button, { textContent, ariaLabel });
  }, 3000);
}

// dialogOf gives a dialog its buttons. send returns what to tell when it is done, or throws what went wrong.
function dialogOf(name, tell, send) {
  const dialog = document.getElementById(name);
  const text = dialog.querySelector("textarea");
  const result = dialog.querySelector(".result");
  dialog.querySelector(".quiet").addEventListener("click", () => dialog.close());
  dialog.querySelector("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const done = await send(text.value);
      text.value = "";
      dialog.close();
      tell(done);
    } catch (error) {
      result.textContent = /TypeError|TimeoutError/.test(error.name) ? "The server does not answer." : error.message;
    }
  });
  return () => {
    result.textContent = "";
    dialog.showModal();
  };
}

// postIn returns what opens the dialog for one connection.
function postIn(ask, tell) {
  const to = document.getElementById("post-to");
  const open = dialogOf("post", tell, async (text) => {
    const answer = await ask(`@connections/${encodeURIComponent(to.textContent)}`, { method: "POST", body: text });
    if (answer.status === 410) throw new Error("It is gone.");
    await check(answer);
    return "Posted.";
  });
  return (id, title) => {
    document.getElementById("post-title").textContent = title;
    to.textContent = id;
    open();
    document.getElementById("post-text").focus();
  };
}

// publishIn makes a button open the dialog for a topic: the one that is looked at, if there is one.
function publishIn(ask, tell, button, lookedAt) {
  const { app, topic } = document.querySelector("#publish form").elements;
  const explain = () => {
    topic.required = app.value === "live";
    topic.placeholder = topic.required ? "lobby" : "everyone";
  };
  const open = dialogOf("publish", tell, async (text) => {
    const query = new URLSearchParams(app.value === "live" ? { app: "live" } : {});
    if (topic.value.trim()) query.set("topic", topic.value.trim());
    const answer = await check(await ask(`publish?${query}`, { method: "POST", body: text }));
    const { heard } = await answer.json();
    return `Published. ${heard === 1 ? "1 client receives" : `${compact(heard)} clients receive`} it.`;
  });
  app.addEventListener("change", explain);
  button.addEventListener("click", () => {
    const only = lookedAt();
    if (only && ["broadcast", "live"].includes(only.app)) [app.value, topic.value] = [only.app, only.topic];
    explain();
    open();
    document.getElementById("publish-text").focus();
  });
}

// check returns an answer, and throws what it says if it is a refusal.
async function check(answer) {
  if (answer.ok) return answer;
  const { message } = await answer.json().catch(() => ({}));
  throw new Error(`The server says: ${message ?? answer.status}.`);
}

// browser says in two words where a connection comes from.
function browser({ sourceIp, userAgent }) {
  const known = /(Firefox|Edg|OPR|Chrome|Safari|Deno|node|curl|Go-http-client)/.exec(userAgent ?? "");
  const name = { Edg: "Edge", OPR: "Opera", "Go-http-client": "Go", node: "Node" }[known?.[1]] ?? known?.[1];
  return name ? `${sourceIp}, ${name}` : sourceIp;
}
