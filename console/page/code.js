// Code to paste: what a seat does, in other languages.

import { addressOf, apps, audience, server } from "./apps.js";
import { copy } from "./copy.js";

const quote = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
const hint = (seat) => {
  const { hints } = apps[seat.app];
  return (typeof hints === "function" ? hints(seat) : hints)[0];
};
const first = (seat) => apps[seat.app].first?.(seat) ?? [];
const all = (seat) => [...first(seat), hint(seat)];
const js = (value) => JSON.stringify(value).replaceAll("<", "\\u003c"); // it may stand in a page
const header = ' -H "Authorization: Bearer $KEY"';
let key = /^(localhost$|127\.|\[::1\]$)/.test(server.hostname) ? "" : header; // who manages from elsewhere needs one

// options are what crier.js is given for a seat of live.
const options = ({ topics, name }) => js({ app: "live", topic: topics.length > 1 ? topics : topics[0], user: name, last: 20 });

function liveCurl(seat) {
  const topic = encodeURIComponent(seat.topics[0]);
  const at = (path) => quote(new URL(path, server).href);
  return `# say it from a script\ncurl${key} -d ${quote(hint(seat))} ${at("live?topic=" + topic)}

# set a key, and read the state
curl${key} -X PUT -d 21.5 ${at(`topics/${topic}/state/temperature?app=live`)}
curl${key} ${at(`topics/${topic}/state?app=live`)}

# what was said last
curl${key} ${at(`topics/${topic}/messages?app=live&last=20`)}`;
}

function curl(seat) {
  if (seat.app === "live") return liveCurl(seat);
  if (seat.app === "broadcast") {
    const url = new URL("publish" + new URL(addressOf(seat)).search, server);
    return `# say it from a script\ncurl${key} -d ${quote(hint(seat))} ${quote(url.href)}\n\n# who is there\ncurl${key} ${quote(new URL("@connections?app=broadcast", server).href)}`;
  }
  return `# who is there\ncurl${key} ${quote(new URL("@connections?app=" + seat.app, server).href)}\n\n# tell one of them something\ncurl${key} -d 'psst' ${quote(new URL("@connections/", server).href + "CONNECTION-ID")}`;
}

const languages = {
  wscat: (seat) => `npx wscat -c ${quote(addressOf(seat))}\n\n${all(seat).map((text) => `> ${text}`).join("\n")}`,
  curl,
  Browser: (seat) => `<script type="module">
import { connect } from ${js(new URL("crier.js", server).href)};

const crier = connect(${seat.app === "live" ? options(seat) : js(addressOf(seat))}${first(seat).length ? `, {\n  first: [${first(seat).map(js).join(", ")}],\n}` : ""});
crier.addEventListener("message", (event) => console.log(event.json ?? event.data));
crier.send(${js(hint(seat))});
</script>

<!-- crier.js comes back after a lost connection. Without it, this does: -->
<script>
const socket = new WebSocket(${js(addressOf(seat))});
socket.onmessage = (event) => console.log(event.data);
socket.onopen = () => {
${all(seat).map((text) => `  socket.send(${js(text)});`).join("\n")}
};
</script>`,
  Go: (seat) => `package main

import (
	"context"
	"fmt"
	"log"

	"github.com/coder/websocket"
)

func main() {
	ctx := context.Background()
	conn, _, err := websocket.Dial(ctx, ${JSON.stringify(addressOf(seat))}, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.CloseNow()
${all(seat)
  .map((text) => `	if err := conn.Write(ctx, websocket.MessageText, []byte(${goString(text)})); err != nil {\n		log.Fatal(err)\n	}`)
  .join("\n")}
	for {
		_, message, err := conn.Read(ctx)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(string(message))
	}
}`,
};

function goString(text) {
  return text.includes("`") ? JSON.stringify(text) : "`" + text + "`";
}

// showCode fills the section. It returns what to call with the seat that is looked at, and when the server has an admin key.
export function showCode(tell) {
  const tabs = document.querySelector(".tabs");
  const place = document.querySelector("#paste code");
  let language = "wscat";
  let seat;
  const show = () => {
    for (const tab of tabs.children) {
      const selected = tab.textContent === language;
      tab.setAttribute("aria-selected", selected);
      tab.tabIndex = selected ? 0 : -1;
      if (selected) document.getElementById("paste").setAttribute("aria-labelledby", tab.id);
    }
    document.getElementById("code-section").hidden = !seat;
    if (!seat) return;
    place.textContent = languages[language](seat);
    document.getElementById("code-seat").textContent = `${seat.name}’s seat (${seat.app}, ${audience(seat)})`;
  };
  const choose = (name) => {
    language = name;
    show();
  };
  for (const name of Object.keys(languages)) {
    const tab = tabs.appendChild(document.createElement("button"));
    tab.textContent = name;
    tab.id = "tab-" + name;
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", "paste");
    tab.addEventListener("click", () => choose(name));
  }
  tabs.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const names = Object.keys(languages);
    choose(names[(names.indexOf(language) + step + names.length) % names.length]);
    tabs.querySelector('[aria-selected="true"]').focus();
  });
  document.getElementById("copy-code").addEventListener("click", async () => {
    tell((await copy(place.textContent)) ? "Copied." : "The browser does not let the page copy.");
  });
  show();
  const showSeat = (other) => {
    seat = other;
    show();
  };
  const showKey = () => {
    if (key === header) return;
    key = header;
    show();
  };
  return { showSeat, showKey };
}
