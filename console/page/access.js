// The key or token that seats show to the server. It is in sessionStorage only, so it is gone when this tab is closed.

import { connect } from "../crier.js";
import { server } from "./apps.js";

const place = "crier-key";
const minute = 60_000;

// An address can bring the key along: #key=…. Browsers send that to nobody, and it does not stay there.
const brought = new URLSearchParams(location.hash.slice(1)).get("key");
if (brought) {
  sessionStorage.setItem(place, brought);
  history.replaceState(null, "", location.pathname + location.search);
}

// credential returns the key or token, if there is one.
export const credential = () => sessionStorage.getItem(place) ?? undefined;

// userOfToken returns the name that a token gives to its user.
export function userOfToken() {
  const { sub } = claimsOf(credential()) ?? {};
  return typeof sub === "string" && sub ? sub : undefined;
}

// claimsOf returns what a token says; nothing if it is a key.
function claimsOf(token = "") {
  const [, claims, signature] = token.split(".");
  if (!signature) return undefined;
  try {
    const bytes = Uint8Array.from(atob(claims.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
    const all = JSON.parse(new TextDecoder().decode(bytes));
    return all && typeof all === "object" ? all : undefined;
  } catch {}
}

// words returns what claims mean, as pairs.
function words({ sub, topics, can, nbf, exp }) {
  const rights = { hear: "receive", say: "send" };
  const may = can === undefined ? Object.values(rights) : [can].flat().map((right) => rights[right]).filter(Boolean);
  const pairs = [
    ["User", sub ? String(sub) : "anybody"],
    ["Topics", topics === undefined ? "all" : [topics].flat().join(", ") || "none"],
    ["May", may.join(" and ") || "neither receive nor send"],
    ["Until", exp === undefined ? "for ever" : date(exp)],
  ];
  if (nbf * 1000 > Date.now()) pairs.splice(3, 0, ["From", date(nbf)]);
  return pairs;
}

// date says when something is that a token gives in seconds.
function date(seconds) {
  const at = new Date(seconds * 1000);
  if (isNaN(at)) return String(seconds);
  const left = at - Date.now();
  const text = at.toLocaleString("en", { dateStyle: "medium", timeStyle: "short" });
  if (left <= 0) return `${text}: that is over`;
  if (left < 120 * minute) return `${text}, in ${Math.ceil(left / minute)} min`;
  return text;
}

// whyNot returns why the server lets nobody in without a key: { code, reason }, as of a close frame. Browsers do not tell why a
// handshake has failed, but live does. It returns nothing if live knows of no reason, or if the server is away.
export function whyNot() {
  return new Promise((resolve) => {
    const crier = connect(server, { app: "live", topic: "any", presence: 0 });
    crier.addEventListener("state", () => {
      if (crier.status === "connecting") return;
      const { status, ended } = crier;
      if (status !== "closed") crier.close();
      resolve(status === "closed" && refuses(ended) ? ended : undefined);
    });
  });
}

// refuses reports whether a close frame is a refusal: 4401 for one that another key may help against.
export const refuses = ({ code }) => code >= 4400 && code < 4500;
export const noKey = 4401;

// showAccess fills the form. changed is called when there is another credential, or none. It returns what to call with the
// sentence of a server that refuses a seat because of it.
export function showAccess(changed) {
  const find = (id) => document.getElementById(id);
  const [button, section, form, field, about, wrong, says, forget] = ["access-button", "access", "access-form", "access-field", "access-about", "access-wrong", "access-says", "access-forget"].map(find);

  const open = (yes) => {
    section.hidden = !yes;
    button.setAttribute("aria-expanded", yes);
  };

  // show says what there is.
  function show() {
    const key = credential();
    const claims = claimsOf(key);
    button.classList.toggle("used", key !== undefined);
    button.title = key === undefined ? "Key or token" : "Key or token: one is in use";
    forget.hidden = key === undefined;
    says.hidden = !claims;
    says.replaceChildren(
      ...words(claims ?? {}).flatMap(([name, value]) => {
        const [term, text] = ["dt", "dd"].map((tag) => document.createElement(tag));
        term.textContent = name;
        text.textContent = value;
        return [term, text];
      }),
    );
    if (claims) about.textContent = "This is what the token says of itself. Only the server can check whether it is true.";
    else if (key === undefined) about.textContent = "A server that has keys, or takes tokens, lets nobody in without one. It is kept until this tab is closed.";
    else about.textContent = "Every seat shows the key. It is kept until this tab is closed.";
  }

  function use(key) {
    if (key === undefined) sessionStorage.removeItem(place);
    else sessionStorage.setItem(place, key);
    wrong.textContent = field.value = "";
    show();
    changed();
  }

  button.addEventListener("click", () => {
    open(section.hidden);
    if (!section.hidden) field.focus();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const key = field.value.trim();
    if (key) use(key);
  });
  forget.addEventListener("click", () => {
    use(undefined);
    field.focus();
  });
  show();

  return (sentence) => {
    const closed = section.hidden;
    open(true);
    show();
    wrong.textContent = credential() === undefined ? "This server wants a key or a token." : `The server says: ${sentence}.`;
    if (closed && matchMedia("(hover: hover)").matches) field.focus(); // elsewhere it would open a keyboard
  };
}
