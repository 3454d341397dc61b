package ws

import "unicode/utf8"

// DefaultMaxMessage is the limit of a [Decoder] whose MaxMessage is not set. It
// is the limit of API Gateway.
const DefaultMaxMessage = 128 << 10

// A Message is one text or binary message, or one control frame.
type Message struct {
	Op   Opcode // Text, Binary, CloseFrame, Ping or Pong
	Data []byte // see Decoder.Next for how long it is valid

	// Empty is how many of its fragments were empty. Such fragments cost much
	// and carry nothing.
	Empty uint16
}

// A Decoder turns the bytes that one peer sends into messages. The zero value
// is ready to be a server's. It has the size of three words, and between two
// messages it holds no other memory.
type Decoder struct {
	// Set before the first Next.

	// MaxMessage is the largest message in bytes, all its fragments together.
	// It bounds the memory that one peer can take. Zero or a negative value
	// means DefaultMaxMessage.
	MaxMessage int
	// MaxFrame is the largest frame in bytes. Zero means that there is no
	// such limit. API Gateway has one, the RFC does not.
	MaxFrame uint32
	// Client says that this is the client's end: the peer is a server, and
	// its frames are not masked.
	Client bool

	// Owned by Next.

	// part is what has arrived of an incomplete frame or message. It is nil
	// if there is none, so that an idle connection costs nothing more.
	part *partial
}

// A phase says which part of a frame comes next.
//
//	           first byte             last byte of header
//	[between] ------------> [inHeader] ------------------> [inPayload]
//	    ^                                                       |
//	    +-------------------------------------------------------+
//	                    last byte of payload
//
// A frame that is complete in one read bypasses the phases, unless it is a
// fragment: it is handled while the phase is between.
type phase byte

const (
	between   phase = iota // nothing of the next frame has come
	inHeader               // head[:nhead] has come, and it is not all
	inPayload              // frame is known, got bytes of its payload have come
)

// A partial is what has come of a frame, of a fragmented message, or of a
// control frame amid a fragmented message.
type partial struct {
	phase phase

	// The frame.
	nhead uint8           // how much of its header has come
	head  [maxHeader]byte // that much of it
	frame header          // all of it. Invariant: got < frame.length in phase inPayload
	got   int             // how much of its payload has come
	empty uint16          // how many of the message's fragments had none

	// The message. Invariant: valid <= len(data) <= MaxMessage.
	op    Opcode // Continuation while there is none
	data  []byte // what has come of it, unmasked
	valid int    // data[:valid] is UTF-8; what follows is less than one character

	// The control frame. Its payload stands apart because a message may be
	// waiting in data for its next fragment.
	control []byte
}

// maxEmpty is how many empty fragments a message may have. The RFC has no such
// limit. Without one, fragments of eight bytes each could keep a processor busy
// for ever and never become a message.
const maxEmpty = 1000

// Next takes n bytes from the start of b and returns the message that they
// complete, if ok. If not, all of b has been taken, and more is needed.
//
// A message that is complete in b is unmasked there: its Data is a part of b,
// and is valid while those bytes are. Other Data is the caller's to keep.
//
// An error is a [Close]: what to tell the peer. Nothing more can be read from a
// peer that broke a rule, so the Decoder must not be used after it:
//
// "An endpoint MUST NOT continue to attempt to process data (including a
// responding Close frame) from the remote endpoint after being instructed to
// _Fail the WebSocket Connection_."
// https://www.rfc-editor.org/rfc/rfc6455#section-7.1.7
func (d *Decoder) Next(b []byte) (m Message, n int, ok bool, err error) {
	for n < len(b) && !ok && err == nil {
		var took int
		m, took, ok, err = d.frame(b[n:])
		n += took
	}
	return m, n, ok, err
}

// frame takes what b holds of one frame.
func (d *Decoder) frame(b []byte) (m Message, n int, ok bool, err error) {
	if d.phase() == between {
		if m, n, ok, err = d.whole(b); ok || err != nil {
			return m, n, ok, err
		}
	}
	return d.collect(b)
}

// whole takes a message that is one frame and complete in b, without copying
// it. Anything else it leaves to collect.
func (d *Decoder) whole(b []byte) (m Message, n int, ok bool, err error) {
	h, size, err := d.parseHeader(b)
	if err != nil || size == 0 || !h.fin || h.op == Continuation || h.length > len(b)-size {
		return Message{}, 0, false, err
	}
	end := size + h.length
	data := b[size:end:end] // so that an append cannot overwrite the next frame
	if h.masked {
		Mask(data, h.key, 0)
	}
	if h.op == Text && !utf8.Valid(data) {
		return Message{}, 0, false, errNotText
	}
	return Message{Op: h.op, Data: data}, end, true, nil
}

// collect takes what b holds of a frame that did not come at once, or that is a
// fragment.
func (d *Decoder) collect(b []byte) (m Message, n int, ok bool, err error) {
	if d.part == nil {
		d.part = new(partial)
	}
	if d.part.phase != inPayload {
		n, err = d.collectHeader(b)
		if err != nil || d.part.phase != inPayload {
			return Message{}, n, false, err
		}
	}
	n += d.part.collectPayload(b[n:])
	if !d.part.checkText() {
		return Message{}, n, false, errNotText
	}
	if d.part.got == d.part.frame.length {
		m, ok, err = d.endFrame()
	}
	return m, n, ok, err
}

// collectHeader takes what b holds of the header, and begins the frame when
// that completes it.
func (d *Decoder) collectHeader(b []byte) (n int, err error) {
	p := d.part
	had := int(p.nhead)
	n = copy(p.head[had:], b)
	h, size, err := d.parseHeader(p.head[:had+n])
	if size == 0 {
		p.phase, p.nhead = inHeader, uint8(had+n)
		return n, err
	}
	p.phase, p.nhead, p.frame, p.got = inPayload, 0, h, 0
	if h.op == Text || h.op == Binary {
		p.op = h.op
	}
	return size - had, nil // the rest of what was copied is payload
}

// collectPayload takes what b holds of the payload. Memory grows with what has
// arrived: ten thousand headers that announce large payloads cost nothing.
func (p *partial) collectPayload(b []byte) (n int) {
	n = min(len(b), p.frame.length-p.got)
	if p.frame.masked {
		Mask(b[:n], p.frame.key, p.got)
	}
	p.got += n
	if p.frame.op.IsControl() {
		p.control = append(p.control, b[:n]...)
	} else {
		p.data = append(p.data, b[:n]...)
	}
	return n
}

// checkText reports whether the message can still become text. It looks at each
// byte once, apart from those of a character that is not complete.
//
// "Note that a particular text frame might include a partial UTF-8 sequence;
// however, the whole message MUST contain valid UTF-8."
// https://www.rfc-editor.org/rfc/rfc6455#section-5.6
func (p *partial) checkText() bool {
	if p.op != Text {
		return true
	}
	news := p.data[p.valid:]
	news = news[:wholeRunes(news)]
	p.valid += len(news)
	return utf8.Valid(news)
}

// wholeRunes is the length of b without the character at its end that needs
// more bytes. One that no more bytes can mend counts as whole.
func wholeRunes(b []byte) int {
	for i := len(b) - 1; i >= 0 && len(b)-i < utf8.UTFMax; i-- {
		if utf8.RuneStart(b[i]) {
			if utf8.FullRune(b[i:]) {
				break
			}
			return i
		}
	}
	return len(b)
}

// endFrame returns what the frame that just ended completes, and releases the
// frame.
func (d *Decoder) endFrame() (m Message, ok bool, err error) {
	p := d.part
	p.phase = between
	switch {
	case p.frame.op.IsControl():
		m = Message{Op: p.frame.op, Data: p.control}
		p.control = nil
		if !d.fragmented() {
			d.part = nil
		}
		return m, true, nil
	case !p.frame.fin:
		if p.frame.length == 0 {
			p.empty++
		}
		if p.empty > maxEmpty {
			return Message{}, false, errTooManyEmpty
		}
		return Message{}, false, nil
	case p.op == Text && p.valid < len(p.data):
		return Message{}, false, errNotText // it ends amid a character
	}
	d.part = nil
	return Message{Op: p.op, Data: p.data, Empty: p.empty}, true, nil
}

// partialSize is how many bytes a partial takes in addition to what it has
// collected.
const partialSize = 144

// Held returns how many bytes of memory the Decoder holds for an incomplete
// message; 0 if there is none.
func (d *Decoder) Held() int {
	if d.part == nil {
		return 0
	}
	return partialSize + cap(d.part.data) + cap(d.part.control)
}

func (d *Decoder) phase() phase {
	if d.part == nil {
		return between
	}
	return d.part.phase
}

// fragmented reports whether a fragmented message is incomplete.
func (d *Decoder) fragmented() bool { return d.part != nil && d.part.op != Continuation }

// collected returns how many bytes of a message have arrived.
func (d *Decoder) collected() int {
	if d.part == nil {
		return 0
	}
	return len(d.part.data)
}

func (d *Decoder) limit() int {
	if d.MaxMessage <= 0 {
		return DefaultMaxMessage
	}
	return d.MaxMessage
}
