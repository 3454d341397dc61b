// Code to paste: what a seat does, in other languages.

import { credential } from "./access.js";
import { addressOf, apps, audience, onThisMachine, server } from "./apps.js";
import { copy } from "./copy.js";

const quote = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
const hint = (seat) => {
  const { hints } = apps[seat.app];
  return (typeof hints === "function" ? hints(seat) : hints)[0];
};
const first = (seat) => apps[seat.app].first?.(seat) ?? [];
const all = (seat) => [...first(seat), hint(seat)];
const js = (value) => JSON.stringify(value).replaceAll("<", "\\u003c"); // it may stand in a page

// Whoever manages from elsewhere needs the admin key.
let managed = !onThisMachine;

// The code never has the key or token itself: it would end up in files, and on screens.
const shown = () => credential() !== undefined;
const header = (name) => ` -H "Authorization: Bearer $${name}"`;
const key = () => (shown() || managed ? header("KEY") : "");
const adminKey = () => (managed ? header(shown() ? "ADMIN_KEY" : "KEY") : "");

// about says what stands for it.
const inShell = "In the shell, export KEY=… comes first.";
const about = { wscat: inShell, curl: inShell, Browser: "The page asks for it.", Go: "The program takes it from the environment, as KEY." };

// options are what crier.js is given for a seat of live.
const options = ({ topics, name }) => ({ app: "live", topic: topics.length > 1 ? topics : topics[0], user: name, last: 20 });

function liveCurl(seat) {
  const topic = encodeURIComponent(seat.topics[0]);
  const at = (path) => quote(new URL(path, server).href);
  return `# say it from a script\ncurl${key()} -d ${quote(hint(seat))} ${at("live?topic=" + topic)}

# set a key, and read the state
curl${key()} -X PUT -d 21.5 ${at(`topics/${topic}/state/temperature?app=live`)}
curl${key()} ${at(`topics/${topic}/state?app=live`)}

# what was said last
curl${key()} ${at(`topics/${topic}/messages?app=live&last=20`)}`;
}

function curl(seat) {
  if (seat.app === "live") return liveCurl(seat);
  if (seat.app === "broadcast") {
    const url = new URL("publish" + new URL(addressOf(seat)).search, server);
    return `# say it from a script\ncurl${key()} -d ${quote(hint(seat))} ${quote(url.href)}\n\n# who is there\ncurl${adminKey()} ${quote(new URL("@connections?app=broadcast", server).href)}`;
  }
  return `# who is there\ncurl${adminKey()} ${quote(new URL("@connections?app=" + seat.app, server).href)}\n\n# tell one of them something\ncurl${adminKey()} -d 'psst' ${quote(new URL("@connections/", server).href + "CONNECTION-ID")}`;
}

// given is what crier.js is given besides the address.
function given(seat) {
  const list = Object.entries(seat.app === "live" ? options(seat) : {}).map(([name, value]) => `${name}: ${js(value)}`);
  if (first(seat).length) list.push(`first: [${first(seat).map(js).join(", ")}]`);
  if (shown()) list.push("token: key");
  return list.length ? `{\n${list.map((line) => `  ${line},\n`).join("")}}` : "";
}

function Browser(seat) {
  const asks = 'prompt("Key or token")';
  const shows = `, ["crier", "crier.token." + base64url(${asks})]`;
  const base64url = `const base64url = (text) =>
  btoa(String.fromCharCode(...new TextEncoder().encode(text))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
`;
  const where = seat.app === "live" ? "" : js(addressOf(seat));
  return `<!-- Part of an index.html. Let crier serve it: crier serve --files DIR. From a file, it would be refused. -->
<script type="module">
import { connect } from ${js(new URL("crier.js", server).href)};

${shown() ? `const key = ${asks};\n` : ""}const crier = connect(${[where, given(seat)].filter(Boolean).join(", ")});
crier.addEventListener("message", (event) => console.log(event.json ?? event.data));
crier.send(${js(hint(seat))});
</script>

<!-- crier.js comes back after a lost connection. Without it, this does: -->
<script>
${shown() ? base64url : ""}const socket = new WebSocket(${js(addressOf(seat))}${shown() ? shows : ""});
socket.onmessage = (event) => console.log(event.data);
socket.onopen = () => {
${all(seat).map((text) => `  socket.send(${js(text)});`).join("\n")}
};
</script>`;
}

// optionsOfGo are what package client is given besides the address.
function optionsOfGo(seat) {
  const texts = (list) => `[]string{${list.map(goString).join(", ")}}`;
  const lines = [];
  if (byOptions(seat) && seat.topics.length) lines.push(`Topics: ${texts(seat.topics)}`);
  if (seat.app === "live") lines.push(`User: ${goString(seat.name)}`, "Live: &client.Live{Last: 20}");
  if (first(seat).length) lines.push(`First: ${texts(first(seat))}`);
  if (shown()) lines.push(`Token: func(context.Context) (string, error) { return os.Getenv("KEY"), nil }`);
  return lines.length ? `{\n${lines.map((line) => `\t\t${line},\n`).join("")}\t}` : "{}";
}

const byOptions = ({ app }) => app === "broadcast" || app === "live";

const clientPath = "crier/client"; // make module changes it

// toGet is how a new module gets the client: from its path, or from a clone if nobody has published it.
const toGet = clientPath.includes(".")
  ? `// Save this as main.go in a new directory, and run there:
//	go mod init mygame
//	go get ${clientPath}`
  : `// Save this as main.go in a new directory beside your clone of crier, and run there:
//	go mod init mygame
//	go mod edit -require crier@v0.0.0 -replace crier=../crier
//	go mod tidy`;

function Go(seat) {
  const address = addressOf(seat);
  return `${toGet}
//	go run .
package main

import (
	"context"
	"fmt"
	"log"
${shown() ? '\t"os"\n' : ""}
	${JSON.stringify(clientPath)}
)

func main() {
	room, err := client.Connect(context.Background(), ${goString(byOptions(seat) ? address.split("?")[0] : address)}, client.Options${optionsOfGo(seat)})
	if err != nil {
		log.Fatal(err)
	}
	defer room.Close()
	room.Send(${goString(hint(seat))})
	for m := range room.Messages() {
		fmt.Printf("%s\\n", m.Data)
	}
}`;
}

const languages = {
  Browser,
  curl,
  wscat: (seat) => `npx wscat -c ${quote(addressOf(seat))}${shown() ? header("KEY") : ""}\n\n${all(seat).map((text) => `> ${text}`).join("\n")}`,
  Go,
};

function goString(text) {
  return /["\\]/.test(text) && !text.includes("`") ? "`" + text + "`" : JSON.stringify(text);
}

// showCode fills the section. It returns what to call with the seat that is looked at, and when the server has an admin key.
export function showCode(tell) {
  const tabs = document.querySelector(".tabs");
  const place = document.querySelector("#paste code");
  let language = "Browser";
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
    const note = document.getElementById("code-key");
    note.hidden = !shown();
    note.textContent = `This code does not contain your key or token, so you can give it to others. ${about[language]}`;
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
    if (managed) return;
    managed = true;
    show();
  };
  return { showSeat, showKey };
}
