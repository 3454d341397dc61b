// A conversation as a file: text for people, lines of JSON for programs.

import { hexLine } from "./json.js";

const arrows = { said: "→", heard: "←", note: "·" };
const types = { txt: "text/plain", jsonl: "application/jsonl" };
const isText = (data) => typeof data === "string";

// formats make a text of frames.
const formats = {
  txt: ({ time, way, data }) => `${new Date(time).toISOString()} ${arrows[way]} ${isText(data) ? data : hexLine(data)}\n`,
  jsonl: ({ time, way, data }) => JSON.stringify({ time, way, ...(isText(data) ? { data } : { hex: hexLine(data) }) }) + "\n",
};

// save has the browser keep frames in a file. kind is txt or jsonl.
export function save(frames, name, kind) {
  const blob = new Blob(frames.map(formats[kind]), { type: types[kind] });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `crier ${name.replace(/[^\p{L}\p{N} .-]/gu, "-")} ${new Date().toISOString().slice(0, 19).replaceAll(":", "-")}.${kind}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000); // the browser has begun by then
}
