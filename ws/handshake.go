package ws

import (
	"crypto/sha1"
	"encoding/base64"
)

// AcceptKey returns the Sec-WebSocket-Accept with which a server answers a
// Sec-WebSocket-Key, and that a client expects. SHA-1 is no secret here: it
// only shows that the server meant to speak WebSocket.
//
// "The value of this header field is constructed by concatenating /key/ [...]
// with the string "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", taking the SHA-1 hash
// of this concatenated value to obtain a 20-byte value and base64-encoding
// [...] this 20-byte hash."
// https://www.rfc-editor.org/rfc/rfc6455#section-4.2.2
func AcceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}
