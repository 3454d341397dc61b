// What the page knows of crier's apps: where they are, and what one says to them.

export const apps = {
  broadcast: {
    about: "What one says, everyone hears, stamped with the time and whether it was you. A topic makes a room of its own; several, with commas between.",
    address: (seat) => "?" + seat.topics.map((topic) => "topic=" + encodeURIComponent(topic)).join("&"),
    everyone: "everyone",
    hints: ["hi there", '{"type":"move","x":3,"y":4}'],
  },
  live: {
    about: "Broadcast with a memory: who is here, what was said before, and a state. The seat has its name, and comes back as itself.",
    address: (seat) => `live?${seat.topics.map((topic) => "topic=" + encodeURIComponent(topic)).join("&")}&user=${encodeURIComponent(seat.name)}&last=20`,
    needs: "lobby",
    remembers: true,
    longestName: 64, // bytes
    hints: (seat) => [
      "hi there",
      '{"type":"move","x":3,"y":4,"_keep":false}',
      `{"data":"psst","_to":${JSON.stringify(seat.name === "Ada" ? "Ben" : "Ada")}}`,
      '{"_join":"game","_last":20}',
    ],
  },
  bridge: {
    about: "Hears its topic. A JSON object with a “topic” goes to everyone who hears that one, byte for byte.",
    address: (seat) => "bridge?" + seat.topics.map((topic) => "topicName=" + encodeURIComponent(topic)).join("&"),
    needs: "Something",
    hints: (seat) => [`{"topic":${JSON.stringify(seat.topics[0])},"message":"Some Data"}`],
  },
  chat: {
    about: "The chat of API Gateway's tutorial: what is in “data” goes to everyone as it is.",
    address: () => "chat",
    everyone: "everyone",
    hints: ['{"action":"sendMessage","data":"hello"}'],
  },
  rooms: {
    about: "Subscribe to topics and broadcast to them. The seat subscribes to its topic by itself, under its name.",
    address: (seat) => "rooms?user=" + encodeURIComponent(seat.name),
    needs: "lobby",
    first: (seat) => seat.topics.map((topic) => JSON.stringify({ action: "subscribe", topic })),
    hints: (seat) => {
      const topic = JSON.stringify(seat.topics[0]);
      return [
        `{"action":"broadcast","topic":${topic},"payload":{"x":1}}`,
        `{"action":"unsubscribe","topic":${topic}}`,
        `{"action":"subscribe","topic":${topic}}`,
      ];
    },
  },
  directory: {
    about: "Say anything and hear who is connected to it.",
    address: () => "directory",
    everyone: "everyone",
    hints: ["who is there?"],
  },
};

// server is where crier is, however the page got here: its directory, as http.
export const server = new URL("..", import.meta.url);

// onThisMachine: the page's address leads to the server on the server's own machine only.
export const onThisMachine = /^(localhost$|127\.|\[::1\]$)/.test(server.hostname);

// addressOf returns the WebSocket address of a seat: { app, topics, name }.
export function addressOf(seat) {
  const url = new URL(apps[seat.app].address(seat), server);
  url.protocol = url.protocol.replace("http", "ws");
  const address = url.href.replace(/\?$/, "");
  return url.pathname === "/" && !url.search ? address.replace(/\/$/, "") : address;
}

// topicsOf reads what was typed into the field of topics.
export function topicsOf(app, text) {
  return topicsFor(app, text.split(",").map((topic) => topic.trim()).filter(Boolean));
}

// topicsFor returns those of an app that are wished for, if it has any, and one if it needs one.
export function topicsFor(app, wished) {
  const { needs } = apps[app];
  if (!needs && app !== "broadcast") return [];
  return wished.length || !needs ? wished : [needs];
}

// audience names whom a seat talks to.
export function audience(seat) {
  return seat.topics.join(", ") || apps[seat.app].everyone;
}
