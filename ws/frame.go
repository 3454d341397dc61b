package ws

import (
	"encoding/binary"
	"fmt"
	"math"
)

// An Opcode says what a frame is.
type Opcode byte

// The opcodes of https://www.rfc-editor.org/rfc/rfc6455#section-5.2; the others
// are reserved.
const (
	Continuation Opcode = 0
	Text         Opcode = 1
	Binary       Opcode = 2
	CloseFrame   Opcode = 8
	Ping         Opcode = 9
	Pong         Opcode = 10
)

// IsControl reports whether op is a control frame's: close, ping, pong, or one
// of those reserved for more.
//
// "Control frames are identified by opcodes where the most significant bit of
// the opcode is 1."
// https://www.rfc-editor.org/rfc/rfc6455#section-5.5
func (op Opcode) IsControl() bool { return op&0x8 != 0 }

// String is the opcode's name, such as "text".
func (op Opcode) String() string {
	switch op {
	case Continuation:
		return "continuation"
	case Text:
		return "text"
	case Binary:
		return "binary"
	case CloseFrame:
		return "close"
	case Ping:
		return "ping"
	case Pong:
		return "pong"
	}
	return fmt.Sprintf("opcode %d", byte(op))
}

// The bits of a frame's first two bytes, and the lengths that are no lengths
// but say how many bytes of length follow.
// https://www.rfc-editor.org/rfc/rfc6455#section-5.2
const (
	finBit   = 0x80
	rsvBits  = 0x70
	opBits   = 0x0f
	maskBit  = 0x80
	lenBits  = 0x7f
	length16 = 126
	length64 = 127
)

// maxHeader is two bytes, eight of length, four of masking key.
const maxHeader = 2 + 8 + 4

// maxControl is the longest payload of a control frame.
//
// "All control frames MUST have a payload length of 125 bytes or less and MUST
// NOT be fragmented."
// https://www.rfc-editor.org/rfc/rfc6455#section-5.5
const maxControl = 125

// AppendFrame appends a whole message as one frame from server to client. The
// payload of a control frame must not be longer than 125 bytes.
func AppendFrame(dst []byte, op Opcode, payload []byte) []byte {
	return append(AppendHeader(dst, op, len(payload)), payload...)
}

// AppendHeader appends what comes before the payload in [AppendFrame], for a
// payload of n bytes that is written after it.
//
// "A server MUST NOT mask any frames that it sends to the client."
// https://www.rfc-editor.org/rfc/rfc6455#section-5.1
func AppendHeader(dst []byte, op Opcode, n int) []byte {
	return appendHeader(dst, op, n, 0)
}

// Payload returns the payload of a frame that [AppendFrame] has written.
func Payload(frame []byte) []byte {
	switch frame[1] {
	case length16:
		return frame[4:]
	case length64:
		return frame[10:]
	}
	return frame[2:]
}

// First returns the first of several frames that [AppendFrame] has written.
func First(frames []byte) []byte {
	n := len(frames) - len(Payload(frames)) // of the header
	switch n {
	case 4:
		n += int(binary.BigEndian.Uint16(frames[2:]))
	case 10:
		n += int(binary.BigEndian.Uint64(frames[2:]))
	default:
		n += int(frames[1])
	}
	return frames[:n:n]
}

// IsBinary reports whether a frame that [AppendFrame] has written is a binary
// message.
func IsBinary(frame []byte) bool { return Opcode(frame[0]&0x0f) == Binary }

// AppendMaskedFrame appends a whole message as one frame from client to server.
// The key must come from a strong source of entropy when what is sent is not
// the client's own choice: it keeps the payload from looking like HTTP to
// whatever stands between.
//
// "When preparing a masked frame, the client MUST pick a fresh masking key from
// the set of allowed 32-bit values."
// https://www.rfc-editor.org/rfc/rfc6455#section-5.3
func AppendMaskedFrame(dst []byte, op Opcode, key [4]byte, payload []byte) []byte {
	dst = appendHeader(dst, op, len(payload), maskBit)
	dst = append(dst, key[:]...)
	dst = append(dst, payload...)
	Mask(dst[len(dst)-len(payload):], key, 0)
	return dst
}

// appendHeader appends the header up to the masking key. The length takes the
// shortest form that holds it, as section 5.2 demands.
func appendHeader(dst []byte, op Opcode, n int, mask byte) []byte {
	first := finBit | byte(op)
	switch {
	case n < length16:
		return append(dst, first, mask|byte(n))
	case n <= math.MaxUint16:
		return append(dst, first, mask|length16, byte(n>>8), byte(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, first, mask|length64), uint64(n))
}
