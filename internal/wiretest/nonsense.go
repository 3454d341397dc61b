package wiretest

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"unicode/utf8"
)

const (
	streams = 10_000 / slowdown
	atATime = 32
)

// testNonsense sends ten thousand random streams. Each gets the close frame that it deserves, or none if it breaks no
// rule and just ends; and the server is then as it was before.
func testNonsense(t *testing.T, s server) {
	before := s.metrics(t)
	seeds := make(chan uint64)
	var senders sync.WaitGroup
	for range atATime {
		senders.Go(func() {
			for seed := range seeds {
				stream := nonsense(rand.New(rand.NewPCG(seed, 0)))
				if err := s.endures(stream, seed); err != nil {
					t.Errorf("seed %d: % x\n%v", seed, stream, err)
				}
			}
		})
	}
	for seed := range uint64(streams) {
		seeds <- seed
	}
	close(seeds)
	senders.Wait()
	s.settles(t, before)
	if a := s.ask(t, "GET /healthz"); a.status != 200 {
		t.Errorf("/healthz: %d", a.status)
	}
}

// endures sends a stream and returns what is wrong with how the connection ends.
func (s server) endures(stream []byte, seed uint64) error {
	nc, in, err := s.shake(fmt.Sprint("/?topic=nonsense-", seed))
	if err != nil {
		return err
	}
	defer nc.Close()
	if _, err := nc.Write(stream); err != nil {
		return err
	}
	v := judge(stream)
	if !v.certain {
		nc.(interface{ CloseWrite() error }).CloseWrite()
	}
	told, err := ending(in)
	switch {
	case err != nil:
		return fmt.Errorf("told %v, then %w", told, err)
	case told.code() == 0 && !v.certain:
		return nil
	case told.code() != v.code:
		return fmt.Errorf("told %v, want %d", told, v.code)
	case told.reason() == "" && !v.echo:
		return fmt.Errorf("told %d without a reason", v.code)
	}
	return nil
}

// nonsense returns a stream of one of several kinds, from dice to a slip of the pen.
func nonsense(r *rand.Rand) (stream []byte) {
	switch r.IntN(4) {
	case 0:
		return noise(r, 1+r.IntN(100))
	case 1:
		return append(sense(r), noise(r, 1+r.IntN(20))...)
	case 2:
		stream = sense(r)
		return stream[:r.IntN(len(stream))]
	}
	stream = sense(r)
	for range 1 + r.IntN(3) {
		stream[r.IntN(len(stream))] ^= 1 << r.IntN(8)
	}
	return stream
}

func noise(r *rand.Rand, n int) (b []byte) {
	for range n {
		b = append(b, byte(r.Uint32()))
	}
	return b
}

// sense returns some frames, each of them good for itself.
func sense(r *rand.Rand) (stream []byte) {
	payloads := []string{"", "hello", `{"a":1}`, "κόσμε", "\xf0\x9f\x98\x80", "\xf0\x9f", "\x98\x80", "\xff", closing(1000, "bye"), closing(4000, "")}
	ops := []byte{opText, opText, opBinary, opContinuation, opContinuation, opPing, opPong, opClose}
	for range 1 + r.IntN(5) {
		op := ops[r.IntN(len(ops))]
		payload := payloads[r.IntN(len(payloads))]
		if r.IntN(10) == 0 && op != opClose {
			payload = string(noise(r, r.IntN(300)))
		}
		stream = appendFrame(stream, op >= opClose || r.IntN(3) > 0, op, []byte(payload))
		if r.IntN(20) == 0 { // and announces more than it has
			stream = binary.BigEndian.AppendUint64(append(stream, 0x80|opBinary, 0xff), r.Uint64()>>r.IntN(64))
		}
	}
	return stream
}

// A verdict is how a connection must end.
type verdict struct {
	code    int  // in the server's close frame; 0 if there is none
	certain bool // the server must say so; otherwise it may also wait for more
	echo    bool // the code is the client's own
}

// A referee reads a stream as the RFC tells a server to, in the simplest way there is.
type referee struct {
	stream  []byte
	open    bool // a message has begun
	text    bool // and is text
	message []byte
}

// judge says how a connection must end on which this stream arrives.
func judge(stream []byte) verdict {
	j := referee{stream: stream}
	for {
		if v, over := j.frame(); over {
			return v
		}
	}
}

func broken(code int) (verdict, bool) { return verdict{code: code, certain: true}, true }

// frame judges the next frame, and reports whether it is the last that counts.
func (j *referee) frame() (verdict, bool) {
	b := j.stream
	if len(b) < 2 {
		return verdict{code: 1002}, true // what is wrong with half a header may be told already
	}
	fin, op, control := b[0]&0x80 != 0, b[0]&0x0f, b[0]&0x08 != 0
	length, size := uint64(b[1]&0x7f), 2
	switch {
	case b[0]&0x70 != 0, b[1]&0x80 == 0, names[op] == "", control && (!fin || length > 125):
		return broken(1002)
	case !control && j.open != (op == opContinuation):
		return broken(1002)
	case length == 126:
		size = 4
	case length == 127:
		size = 10
	}
	if len(b) < size {
		return verdict{}, true
	}
	switch {
	case size == 4:
		length = uint64(binary.BigEndian.Uint16(b[2:]))
	case size == 10:
		length = binary.BigEndian.Uint64(b[2:])
	}
	if size == 4 && length < 126 || size == 10 && (length < 1<<16 || length >= 1<<63) {
		return broken(1002)
	}
	if !control && uint64(len(j.message))+length > maxMessage {
		return broken(1009)
	}
	if len(b) < size+4 {
		return verdict{}, true
	}
	return j.payload(b[size:size+4], b[size+4:], int(length), fin, op)
}

// payload judges the payload of a frame of which b holds all or some.
func (j *referee) payload(key, b []byte, length int, fin bool, op byte) (verdict, bool) {
	whole := length <= len(b)
	var data []byte
	for i, c := range b[:min(length, len(b))] {
		data = append(data, c^key[i%4])
	}
	j.stream = b[len(data):]
	switch {
	case op >= opClose && !whole:
		return verdict{}, true
	case op == opClose:
		return judgeClose(data)
	case op >= opClose:
		return verdict{}, false
	case op != opContinuation:
		j.text = op == opText
	}
	j.open = !fin
	j.message = append(j.message, data...)
	bad, cut := badText(j.message)
	switch {
	case !j.text:
	case bad && !whole:
		return verdict{code: 1007}, true // it may be told already
	case bad, cut && whole && fin:
		return broken(1007)
	}
	if fin {
		j.message = nil
	}
	return verdict{}, !whole
}

// badText reports whether no more bytes can make b UTF-8, and whether more bytes are needed.
func badText(b []byte) (bad, cut bool) {
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		if r == utf8.RuneError && size == 1 {
			return utf8.FullRune(b), !utf8.FullRune(b)
		}
		b = b[size:]
	}
	return false, false
}

func judgeClose(payload []byte) (verdict, bool) {
	if len(payload) == 1 {
		return broken(1002)
	}
	code := frame{opClose, payload}.code()
	switch {
	case len(payload) == 0:
	case code < 1000, 1004 <= code && code <= 1006, 1015 <= code && code < 3000, code >= 5000:
		return broken(1002)
	case !utf8.Valid(payload[2:]):
		return broken(1007)
	}
	return verdict{code: code, certain: true, echo: true}, true
}
