// Bytes to send: typed in hex, or out of files.

const largest = 16 << 20; // crier.js takes no more at once

// bytesOf returns the bytes that a text has in hex: an ArrayBuffer, or nothing if it is no such text.
export function bytesOf(text) {
  const digits = text.replace(/0x|[\s,:]/g, "");
  if (!/^([\da-f]{2})+$/i.test(digits)) return undefined;
  return Uint8Array.from(digits.match(/../g), (pair) => parseInt(pair, 16)).buffer;
}

// sendFiles gives the bytes of files to send, one file after the other, with a note on each.
export async function sendFiles(files, send, tell) {
  for (const file of files) {
    if (file.size > largest) tell(`${file.name} has more than 16 MiB.`);
    else send(await file.arrayBuffer(), `the file ${file.name}`);
  }
}
