package ws

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf8"
)

// The close codes of the RFC and of its registry.
// https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1
// https://www.iana.org/assignments/websocket/websocket.xhtml#close-code-number
const (
	NormalClosure   = 1000 // the purpose of the connection is fulfilled
	GoingAway       = 1001 // the server stops, or the page was left
	ProtocolError   = 1002 // the peer broke a rule of the RFC
	UnsupportedData = 1003 // such as binary where only text is understood
	NoStatus        = 1005 // never on the wire: the close frame had no code
	Abnormal        = 1006 // never on the wire: there was no close frame
	InvalidPayload  = 1007 // such as text that is not UTF-8
	PolicyViolation = 1008 // any other rule
	TooBig          = 1009 // the message is larger than the limit
	InternalError   = 1011 // the server's fault
	ServiceRestart  = 1012 // the server restarts: reconnect after a while
	TryAgainLater   = 1013 // the server or this connection is overloaded
)

// maxReason is how many bytes of a reason fit in a control frame with the code.
const maxReason = maxControl - 2

// A Close is why a connection ends: the code and the reason of a close frame.
// Every error of this package is a Close that should be sent to the peer.
type Close struct {
	Code   uint16
	Reason string
}

// Error makes a Close an error: "close 1001: the server is going away".
func (c Close) Error() string {
	if c.Reason == "" {
		return fmt.Sprintf("close %d", c.Code)
	}
	return fmt.Sprintf("close %d: %s", c.Code, c.Reason)
}

// AppendClose appends the close frame a server sends. A reason that does not
// fit is cut between two characters; one that is not UTF-8 is mended. With a
// code that must not be sent, such as 0 or [NoStatus], the frame is empty: what
// AppendClose writes, [ParseClose] accepts.
func AppendClose(dst []byte, c Close) []byte {
	var buf [maxControl]byte
	return AppendFrame(dst, CloseFrame, appendClose(buf[:0], c))
}

// AppendMaskedClose appends the close frame a client sends. See [AppendClose].
func AppendMaskedClose(dst []byte, key [4]byte, c Close) []byte {
	var buf [maxControl]byte
	return AppendMaskedFrame(dst, CloseFrame, key, appendClose(buf[:0], c))
}

// appendClose appends a close frame's payload.
func appendClose(dst []byte, c Close) []byte {
	if !sendable(c.Code) {
		return dst
	}
	dst = binary.BigEndian.AppendUint16(dst, c.Code)
	return append(dst, cut(strings.ToValidUTF8(c.Reason, "\uFFFD"))...)
}

// cut returns as many whole characters of a reason as fit. A reason is UTF-8,
// so the first byte that is left out must begin a character.
func cut(reason string) string {
	if len(reason) <= maxReason {
		return reason
	}
	n := maxReason
	for !utf8.RuneStart(reason[n]) {
		n--
	}
	return reason[:n]
}

// ParseClose reads the payload of a close frame. The error, if any, is a Close
// too: what to answer to a peer that cannot even end in order.
//
// "If there is a body, the first two bytes of the body MUST be a 2-byte
// unsigned integer (in network byte order) representing a status code [...].
// Following the 2-byte integer, the body MAY contain UTF-8-encoded data with
// value /reason/". https://www.rfc-editor.org/rfc/rfc6455#section-5.5.1
func ParseClose(payload []byte) (Close, error) {
	switch len(payload) {
	case 0:
		// "If this Close control frame contains no status code, _The WebSocket
		// Connection Close Code_ is considered to be 1005."
		// https://www.rfc-editor.org/rfc/rfc6455#section-7.1.5
		return Close{Code: NoStatus}, nil
	case 1:
		return Close{}, errHalfCode
	}
	code, reason := binary.BigEndian.Uint16(payload), payload[2:]
	if !sendable(code) {
		return Close{}, errCloseCode(code)
	}
	if !utf8.Valid(reason) {
		return Close{}, errCloseReason
	}
	return Close{code, string(reason)}, nil
}

// sendable reports whether a close frame may carry code. The codes up to 1014
// are those of the RFC and of its IANA registry, without the ones that stand
// for a close frame that never was (1005, 1006, 1015). "Status codes in the
// range 1000-2999 are reserved for definition by this protocol"; what lies
// above is for libraries and applications, and ends at 4999.
// https://www.rfc-editor.org/rfc/rfc6455#section-7.4.2
func sendable(code uint16) bool {
	switch {
	case 1000 <= code && code <= 1003:
	case 1007 <= code && code <= 1014:
	case 3000 <= code && code <= 4999:
	default:
		return false
	}
	return true
}
