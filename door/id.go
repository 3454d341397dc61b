package door

import (
	"encoding/base64"
	"encoding/binary"
	"math/rand/v2"
	"time"
)

// ids are 11 bytes as padded base64url: 16 characters, the last of them a =.
const idBytes = 11

var idEncoding = base64.URLEncoding.Strict()

// NewID returns the id of a connection or a request in API Gateway's form. As
// there, the first four bytes are the time in steps of 25 ms; the rest is
// random. Clients must not interpret it.
func NewID() string {
	var id [idBytes + 1]byte
	binary.BigEndian.PutUint32(id[:], uint32(time.Now().UnixMilli()/25))
	binary.BigEndian.PutUint64(id[4:], rand.Uint64())
	return idEncoding.EncodeToString(id[:idBytes])
}

// validID reports whether id has the form of an id.
func validID(id string) bool {
	var buf [idBytes + 1]byte
	if len(id) != 16 {
		return false
	}
	n, err := idEncoding.Decode(buf[:], []byte(id))
	return err == nil && n == idBytes
}
