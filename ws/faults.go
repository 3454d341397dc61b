package ws

import "fmt"

// Everything that a peer can do wrong. A reason is a sentence for the author of
// the peer, and must fit in a close frame.
var (
	errReservedBit       = Close{ProtocolError, "a reserved bit is set, but no extension was agreed on"}
	errReservedOpcode    = Close{ProtocolError, "the opcode is reserved"}
	errFragmentedControl = Close{ProtocolError, "control frames must not be fragmented"}
	errLongControl       = Close{ProtocolError, "control frames are limited to 125 bytes"}
	errNothingToContinue = Close{ProtocolError, "there is no message to continue"}
	errInterleaved       = Close{ProtocolError, "a new message began before the last one ended"}
	errNotMasked         = Close{ProtocolError, "frames from a client must be masked"}
	errMasked            = Close{ProtocolError, "frames from a server must not be masked"}
	errLongerForm        = Close{ProtocolError, "the length is not written in its shortest form"}
	errHighBit           = Close{ProtocolError, "the highest bit of a length must be zero"}
	errNotText           = Close{InvalidPayload, "text must be valid UTF-8"}
	errTooManyEmpty      = Close{PolicyViolation, fmt.Sprintf("a message has at most %d empty fragments", maxEmpty)}

	errHalfCode    = Close{ProtocolError, "a close code is two bytes long"}
	errCloseReason = Close{InvalidPayload, "the reason in a close frame must be valid UTF-8"}
)

func errTooBig(limit int) Close {
	return Close{TooBig, fmt.Sprintf("messages are limited to %d bytes", limit)}
}

// errFrameTooBig has the sentence that clients of API Gateway get.
func errFrameTooBig(limit uint32) Close {
	return Close{TooBig, fmt.Sprintf("Max frame length of %d has been exceeded.", limit)}
}

func errCloseCode(code uint16) Close {
	return Close{ProtocolError, fmt.Sprintf("close code %d must not be sent", code)}
}
