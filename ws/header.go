package ws

import (
	"encoding/binary"
	"math"
)

// A header is what comes before a frame's payload.
type header struct {
	fin    bool
	op     Opcode
	masked bool
	key    [4]byte
	length int
}

// parseHeader reads the header at the start of b. Its size is 0 while b holds
// only a part of it. Each rule is checked as soon as the byte that can break it
// is in b, so that a header that comes byte by byte fails as one that comes at
// once does, and nobody waits for the rest of a header that is wrong already.
func (d *Decoder) parseHeader(b []byte) (h header, size int, err error) {
	if len(b) < 1 {
		return h, 0, nil
	}
	h.fin, h.op = b[0]&finBit != 0, Opcode(b[0]&opBits)
	if err := d.checkKind(b[0], h); err != nil || len(b) < 2 {
		return h, 0, err
	}
	h.masked = b[1]&maskBit != 0
	if err := d.checkSecond(b[1], h); err != nil {
		return h, 0, err
	}
	length, size, err := parseLength(b)
	if err != nil || size == 0 {
		return h, 0, err
	}
	if err := d.checkRoom(h, length); err != nil {
		return h, 0, err
	}
	h.length = int(length)
	if !h.masked {
		return h, size, nil
	}
	if len(b) < size+len(h.key) {
		return h, 0, nil
	}
	copy(h.key[:], b[size:])
	return h, size + len(h.key), nil
}

// checkKind checks what the first byte says: that we know this kind of frame,
// and that it may come now.
func (d *Decoder) checkKind(first byte, h header) error {
	switch {
	case first&rsvBits != 0:
		// "MUST be 0 unless an extension is negotiated that defines meanings
		// for non-zero values."
		// https://www.rfc-editor.org/rfc/rfc6455#section-5.2
		return errReservedBit
	case h.op > Pong, h.op > Binary && h.op < CloseFrame:
		// "If an unknown opcode is received, the receiving endpoint MUST _Fail
		// the WebSocket Connection_."
		// https://www.rfc-editor.org/rfc/rfc6455#section-5.2
		return errReservedOpcode
	case h.op.IsControl() && !h.fin:
		// "Control frames themselves MUST NOT be fragmented."
		// https://www.rfc-editor.org/rfc/rfc6455#section-5.4
		return errFragmentedControl
	case h.op.IsControl():
		// "Control frames MAY be injected in the middle of a fragmented
		// message." https://www.rfc-editor.org/rfc/rfc6455#section-5.4
		return nil
	case h.op == Continuation && !d.fragmented():
		// "A fragmented message consists of a single frame with the FIN bit
		// clear and an opcode other than 0, followed by zero or more frames
		// with the FIN bit clear and the opcode set to 0".
		// https://www.rfc-editor.org/rfc/rfc6455#section-5.4
		return errNothingToContinue
	case h.op != Continuation && d.fragmented():
		// "The fragments of one message MUST NOT be interleaved between the
		// fragments of another message".
		// https://www.rfc-editor.org/rfc/rfc6455#section-5.4
		return errInterleaved
	}
	return nil
}

// checkSecond checks what the second byte says: whether there is a mask, and
// how long a control frame is.
func (d *Decoder) checkSecond(second byte, h header) error {
	switch {
	case !d.Client && !h.masked:
		// "The server MUST close the connection upon receiving a frame that is
		// not masked."
		// https://www.rfc-editor.org/rfc/rfc6455#section-5.1
		return errNotMasked
	case d.Client && h.masked:
		// "A client MUST close a connection if it detects a masked frame."
		// https://www.rfc-editor.org/rfc/rfc6455#section-5.1
		return errMasked
	case h.op.IsControl() && second&lenBits > maxControl:
		return errLongControl
	}
	return nil
}

// parseLength reads the length in b, which has at least two bytes. The size is
// that of the header up to the masking key, or 0 while the length is not whole.
//
// "Note that in all cases, the minimal number of bytes MUST be used to encode
// the length, for example, the length of a 124-byte-long string can't be
// encoded as the sequence 126, 0, 124."
// https://www.rfc-editor.org/rfc/rfc6455#section-5.2
func parseLength(b []byte) (length uint64, size int, err error) {
	switch n := b[1] & lenBits; {
	case n < length16:
		return uint64(n), 2, nil
	case n == length16 && len(b) >= 4:
		length = uint64(binary.BigEndian.Uint16(b[2:]))
		if length < length16 {
			return 0, 0, errLongerForm
		}
		return length, 4, nil
	case n == length64 && len(b) >= 10:
		length = binary.BigEndian.Uint64(b[2:])
		// "the most significant bit MUST be 0"
		if length > math.MaxInt64 {
			return 0, 0, errHighBit
		}
		if length <= math.MaxUint16 {
			return 0, 0, errLongerForm
		}
		return length, 10, nil
	}
	return 0, 0, nil
}

// checkRoom checks that what has been collected and what is announced stay
// within the limit. Nothing of a message that is too big is read.
func (d *Decoder) checkRoom(h header, length uint64) error {
	if h.op.IsControl() {
		return nil
	}
	// Neither term has its highest bit set, so the sum does not overflow.
	if d.MaxFrame > 0 && length > uint64(d.MaxFrame) {
		return errFrameTooBig(d.MaxFrame)
	}
	if limit := d.limit(); uint64(d.collected())+length > uint64(limit) {
		return errTooBig(limit)
	}
	return nil
}
