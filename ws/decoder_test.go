package ws

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

var testKey = [4]byte{0x37, 0xfa, 0x21, 0x3d}

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// appendFragment appends a masked frame, final or not.
func appendFragment(dst []byte, fin bool, op Opcode, key [4]byte, payload []byte) []byte {
	at := len(dst)
	dst = AppendMaskedFrame(dst, op, key, payload)
	if !fin {
		dst[at] &^= finBit
	}
	return dst
}

// frames are masked frames written as "text:Hel- ping: cont:lo": a dash at the
// end says that more fragments follow.
func frames(s string) (stream []byte) {
	ops := map[string]Opcode{"cont": Continuation, "text": Text, "binary": Binary, "close": CloseFrame, "ping": Ping, "pong": Pong}
	for f := range strings.FieldsSeq(s) {
		name, payload, _ := strings.Cut(f, ":")
		payload, more := strings.CutSuffix(payload, "-")
		stream = appendFragment(stream, !more, ops[name], testKey, []byte(payload))
	}
	return stream
}

// A cutter says how many of the bytes that are left the next read returns.
type cutter func(left int) int

func atOnce(left int) int { return left }
func oneByOne(int) int    { return 1 }
func inPieces(rnd *rand.Rand) cutter {
	return func(left int) int {
		if rnd.IntN(2) == 0 {
			return 1 + rnd.IntN(min(left, 20))
		}
		return 1 + rnd.IntN(left)
	}
}

// decode feeds a stream to d through one read buffer, as an event loop would,
// and returns copies of the messages, and the fault that ended them.
func decode(t *testing.T, d *Decoder, stream []byte, cut cutter) (got []Message, fault error) {
	t.Helper()
	buf := make([]byte, len(stream))
	for len(stream) > 0 {
		b := buf[:copy(buf, stream[:cut(len(stream))])]
		stream = stream[len(b):]
		for len(b) > 0 {
			m, n, ok, err := d.Next(b)
			if err != nil {
				return got, err
			}
			if !ok && n != len(b) {
				t.Fatalf("%d of %d bytes taken, and no message", n, len(b))
			}
			if ok {
				got = append(got, Message{Op: m.Op, Data: bytes.Clone(m.Data)})
			}
			b = b[n:]
		}
		clear(buf) // what a Decoder keeps must not lie here
	}
	return got, nil
}

func describe(got []Message, fault error) string {
	var s []string
	for _, m := range got {
		s = append(s, fmt.Sprintf("%v:%s", m.Op, m.Data))
	}
	if fault != nil {
		s = append(s, fault.Error())
	}
	return strings.Join(s, " ")
}

func same(a, b []Message) bool {
	return slices.EqualFunc(a, b, func(a, b Message) bool { return a.Op == b.Op && bytes.Equal(a.Data, b.Data) })
}

// wantDecoded checks what a stream decodes to, at once and byte by byte.
func wantDecoded(t *testing.T, d Decoder, stream []byte, want string) {
	t.Helper()
	for name, cut := range map[string]cutter{"at once": atOnce, "byte by byte": oneByOne} {
		d := d
		if got := describe(decode(t, &d, stream, cut)); got != want {
			t.Errorf("%s:\n got %q\nwant %q", name, got, want)
		}
	}
}

// https://www.rfc-editor.org/rfc/rfc6455#section-5.7
func TestDecodingTheRFCsExamples(t *testing.T) {
	server, client := Decoder{}, Decoder{Client: true}
	wantDecoded(t, client, unhex("81 05 48 65 6c 6c 6f"), "text:Hello")
	wantDecoded(t, server, unhex("81 85 37 fa 21 3d 7f 9f 4d 51 58"), "text:Hello")
	wantDecoded(t, client, unhex("01 03 48 65 6c  80 02 6c 6f"), "text:Hello")
	wantDecoded(t, client, unhex("89 05 48 65 6c 6c 6f"), "ping:Hello")
	wantDecoded(t, server, unhex("8a 85 37 fa 21 3d 7f 9f 4d 51 58"), "pong:Hello")
	x := strings.Repeat("x", 65536)
	wantDecoded(t, client, append(unhex("82 7e 01 00"), x[:256]...), "binary:"+x[:256])
	wantDecoded(t, client, append(unhex("82 7f 00 00 00 00 00 01 00 00"), x...), "binary:"+x)
}

func TestEveryRule(t *testing.T) {
	const key = "37 fa 21 3d"
	x := strings.Repeat("x", 200)
	tests := []struct {
		rule   string
		stream []byte
		want   string
	}{
		{"RSV1 is reserved", unhex("c1"), "close 1002: a reserved bit is set, but no extension was agreed on"},
		{"RSV2 is reserved", unhex("a1"), "close 1002: a reserved bit is set, but no extension was agreed on"},
		{"RSV3 is reserved", unhex("91"), "close 1002: a reserved bit is set, but no extension was agreed on"},
		{"in every frame", append(frames("text:a-"), 0xc0), "close 1002: a reserved bit is set, but no extension was agreed on"},
		{"opcode 3 is reserved", unhex("83"), "close 1002: the opcode is reserved"},
		{"opcode 7 is reserved", unhex("87"), "close 1002: the opcode is reserved"},
		{"opcode 11 is reserved", unhex("8b"), "close 1002: the opcode is reserved"},
		{"opcode 15 is reserved", unhex("8f"), "close 1002: the opcode is reserved"},
		{"a client masks", unhex("81 05"), "close 1002: frames from a client must be masked"},
		{"also its pings", unhex("89 00"), "close 1002: frames from a client must be masked"},
		{"a control frame is whole", unhex("09"), "close 1002: control frames must not be fragmented"},
		{"so is a close frame", unhex("08"), "close 1002: control frames must not be fragmented"},
		{"a control frame is short", unhex("89 fe"), "close 1002: control frames are limited to 125 bytes"},
		{"however its length is written", unhex("8a ff"), "close 1002: control frames are limited to 125 bytes"},
		{"125 bytes are short", frames("ping:" + x[:125]), "ping:" + x[:125]},
		{"nothing can be continued at first", frames("cont:a"), "close 1002: there is no message to continue"},
		{"nor begin with a continuation", frames("cont:a-"), "close 1002: there is no message to continue"},
		{"nor after a whole message", frames("text:a cont:b"), "text:a close 1002: there is no message to continue"},
		{"nor after the last fragment", frames("text:a- cont:b cont:c"), "text:ab close 1002: there is no message to continue"},
		{"nor after a ping", frames("ping:a cont:b"), "ping:a close 1002: there is no message to continue"},
		{"messages do not interleave", frames("text:a- text:b"), "close 1002: a new message began before the last one ended"},
		{"of whatever kind", frames("text:a- binary:b-"), "close 1002: a new message began before the last one ended"},
		{"however little has come", frames("text:- ping: text:b"), "ping: close 1002: a new message began before the last one ended"},
		{"125 needs no 16 bits", unhex("81 fe 00 7d"), "close 1002: the length is not written in its shortest form"},
		{"126 needs them", append(unhex("82 fe 00 7e 00 00 00 00"), x[:126]...), "binary:" + x[:126]},
		{"65535 needs no 64 bits", unhex("81 ff 00 00 00 00 00 00 ff ff"), "close 1002: the length is not written in its shortest form"},
		{"a length has 63 bits", unhex("81 ff 80 00 00 00 00 00 00 00"), "close 1002: the highest bit of a length must be zero"},
		{"the limit", frames("text:" + x), "text:" + x},
		{"one more", unhex("82 fe 00 c9"), "close 1009: messages are limited to 200 bytes"},
		{"much more", unhex("82 ff 7f ff ff ff ff ff ff ff"), "close 1009: messages are limited to 200 bytes"},
		{"the limit in fragments", frames("text:" + x[:150] + "- cont:" + x[:50]), "text:" + x},
		{"one more in fragments", append(frames("text:"+x[:150]+"-"), unhex("80 b3")...), "close 1009: messages are limited to 200 bytes"},
		{"pings do not count", frames("text:" + x[:150] + "- ping:" + x[:100] + " cont:" + x[:50]), "ping:" + x[:100] + " text:" + x},
		{"an empty message is one", frames("text: binary:"), "text: binary:"},
		{"also in empty fragments", frames("text:- cont:- cont:"), "text:"},
		{"control frames come amid a message", frames("text:a- ping:p cont:b- close:c cont:c"), "ping:p close:c text:abc"},
		{"text is UTF-8", frames("text:a\xff"), "close 1007: text must be valid UTF-8"},
		{"without surrogates", frames("text:\xed\xa0\x80"), "close 1007: text must be valid UTF-8"},
		{"and ends with a whole character", frames("text:a\xe2\x82"), "close 1007: text must be valid UTF-8"},
		{"also in fragments", frames("text:a- cont:\xe2\x82"), "close 1007: text must be valid UTF-8"},
		{"a character may span fragments", frames("text:\xf0- cont:\x9f- ping: cont:\x98\x80"), "ping: text:😀"},
		{"but must be one in the end", frames("text:\xf0- cont:\x9f- ping: cont:\x98x"), "ping: close 1007: text must be valid UTF-8"},
		{"what no fragment can mend fails now", frames("text:\xf4\x90- ping:"), "close 1007: text must be valid UTF-8"},
		{"binary is anything", frames("binary:\xff- cont:\xfe"), "binary:\xff\xfe"},
		{"so is a ping", frames("text:a- ping:\xff cont:b"), "ping:\xff text:ab"},
		{"an unknown length is waited for", unhex("81 fe 00"), ""},
		{"an unknown key is waited for", unhex("81 85 " + key[:8]), ""},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			wantDecoded(t, Decoder{MaxMessage: 200}, test.stream, test.want)
		})
	}
}

func TestAServerDoesNotMask(t *testing.T) {
	wantDecoded(t, Decoder{Client: true}, frames("text:a"), "close 1002: frames from a server must not be masked")
}

func TestTheLimitOfAZeroDecoder(t *testing.T) {
	header := AppendHeader(nil, Binary, DefaultMaxMessage+1)
	wantDecoded(t, Decoder{Client: true}, header, "close 1009: messages are limited to 131072 bytes")
}

func TestFaultsFitInACloseFrame(t *testing.T) {
	faults := []Close{errReservedBit, errReservedOpcode, errFragmentedControl, errLongControl, errNothingToContinue,
		errInterleaved, errNotMasked, errMasked, errLongerForm, errHighBit, errNotText, errHalfCode, errCloseReason,
		errTooBig(math.MaxInt), errCloseCode(65535)}
	for _, c := range faults {
		if again, err := ParseClose(AppendClose(nil, c)[2:]); again != c || err != nil {
			t.Errorf("%v is read as %v, %v", c, again, err)
		}
	}
}

// A peer that sends what can never become text is told with the byte that
// decides it, not at the end of the frame it announced.
func TestBadTextFailsBeforeItsFrameEnds(t *testing.T) {
	frame := AppendMaskedFrame(nil, Text, testKey, []byte("κόσμε\xed\xa0\x80edited"))
	last := len(frame) - len("\x80edited") // the second byte of the surrogate
	d := Decoder{}
	if got, fault := decode(t, &d, frame[:last-1], oneByOne); len(got) > 0 || fault != nil {
		t.Errorf("too early: %v", fault)
	}
	if _, fault := decode(t, &d, frame[last-1:last], oneByOne); fault != errNotText {
		t.Errorf("not yet: %v", fault)
	}
}

// A script is random messages, and a stream of frames that says them.
func script(rnd *rand.Rand) (stream []byte, want []Message) {
	key := func() (k [4]byte) {
		for i := range k {
			k[i] = byte(rnd.Uint32())
		}
		return k
	}
	control := func() {
		m := Message{Op: CloseFrame + Opcode(rnd.IntN(3)), Data: payload(rnd, Binary, rnd.IntN(maxControl+1))}
		want = append(want, m)
		stream = AppendMaskedFrame(stream, m.Op, key(), m.Data)
	}
	for range 1 + rnd.IntN(6) {
		m := Message{Op: Text + Opcode(rnd.IntN(2))}
		m.Data = payload(rnd, m.Op, []int{rnd.IntN(10), rnd.IntN(300), rnd.IntN(70_001)}[rnd.IntN(3)])
		op, rest := m.Op, m.Data
		for rnd.IntN(3) > 0 {
			n := rnd.IntN(len(rest) + 1)
			stream = appendFragment(stream, false, op, key(), rest[:n])
			op, rest = Continuation, rest[n:]
			if rnd.IntN(2) == 0 {
				control()
			}
		}
		stream = appendFragment(stream, true, op, key(), rest)
		want = append(want, m)
		if rnd.IntN(4) == 0 {
			control()
		}
	}
	return stream, want
}

// payload is n random bytes, or nearly n bytes of random characters.
func payload(rnd *rand.Rand, op Opcode, n int) (b []byte) {
	for op == Binary && len(b) < n {
		b = append(b, byte(rnd.Uint32()))
	}
	for op == Text && len(b) < n-3 {
		b = append(b, string(rune(rnd.IntN(1<<(1+rnd.IntN(20)))))...)
	}
	return b
}

func TestHowItIsCutDoesNotMatter(t *testing.T) {
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		stream, want := script(rnd)
		for name, cut := range map[string]cutter{"at once": atOnce, "byte by byte": oneByOne, "in pieces": inPieces(rnd)} {
			d := Decoder{}
			got, fault := decode(t, &d, stream, cut)
			if fault != nil || !same(got, want) {
				t.Fatalf("seed %d %s: %d messages of %d, fault %v", seed, name, len(got), len(want), fault)
			}
			if d.part != nil {
				t.Fatalf("seed %d %s: something is kept after the last message", seed, name)
			}
		}
	}
}

func FuzzDecoder(f *testing.F) {
	f.Add(frames("text:Hel- ping:p cont:lo binary:\xff close:\x03\xe8bye"), uint64(1), false)
	f.Add(frames("text:\xf0\x9f- pong: cont:\x98\x80"), uint64(2), false)
	f.Add(frames("text:\xf0\x9f- cont:x"), uint64(3), false)
	f.Add(frames("binary:"+strings.Repeat("x", 300)), uint64(4), false)
	f.Add(unhex("01 03 48 65 6c  89 00  80 02 6c 6f"), uint64(5), true)
	f.Add(unhex("82 7e 01 00"), uint64(6), true)
	f.Add(unhex("82 7f 00 00 00 00 00 01 00 00"), uint64(7), true)
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64, client bool) {
		d := Decoder{MaxMessage: 400, Client: client}
		want, fault := decode(t, &d, stream, atOnce)
		rnd := rand.New(rand.NewPCG(seed, 0))
		for name, cut := range map[string]cutter{"byte by byte": oneByOne, "in pieces": inPieces(rnd)} {
			d := Decoder{MaxMessage: 400, Client: client}
			if got, f := decode(t, &d, stream, cut); f != fault || !same(got, want) {
				t.Fatalf("%s\n%s: %q\nat once: %q", hex.EncodeToString(stream), name, describe(got, f), describe(want, fault))
			}
		}
		var again []byte
		for _, m := range want {
			again = AppendMaskedFrame(again, m.Op, testKey, m.Data)
		}
		d = Decoder{MaxMessage: 400}
		if got, f := decode(t, &d, again, inPieces(rnd)); f != nil || !same(got, want) {
			t.Fatalf("written and read again: %q\nat first: %q", describe(got, f), describe(want, nil))
		}
	})
}

// What an idle connection costs, and one whose peer is slow: tens of thousands
// of them must not.
func TestWhatADecoderCosts(t *testing.T) {
	if got := unsafe.Sizeof(Decoder{}); got > 24 {
		t.Errorf("a Decoder is %d bytes", got)
	}
	if got := unsafe.Sizeof(partial{}); got > 112 { // one of the allocator's sizes
		t.Errorf("what it keeps of a frame is %d bytes", got)
	}
}

func TestAnnouncedBytesCostNothing(t *testing.T) {
	frame := AppendMaskedFrame(nil, Binary, testKey, make([]byte, DefaultMaxMessage))
	header := 2 + 8 + 4
	d := Decoder{}
	decode(t, &d, frame[:header], atOnce)
	if got := cap(d.part.data); got != 0 {
		t.Errorf("%d bytes are kept for a message of which nothing has come", got)
	}
	for came := header; came < len(frame)-1; came += 1000 {
		decode(t, &d, frame[came:min(came+1000, len(frame)-1)], atOnce)
		if data := d.part.data; cap(data) > 2*len(data)+100 {
			t.Errorf("%d bytes are kept where %d have come", cap(data), len(data))
		}
	}
}

func TestWhatIsCompleteIsLetGo(t *testing.T) {
	for _, stream := range [][]byte{frames("text:Hello"), frames("ping:Hello"), frames("text:Hel- ping:x cont:lo")} {
		d := Decoder{}
		decode(t, &d, stream[:3], atOnce)
		if d.part == nil {
			t.Error("three bytes came and nothing is kept")
		}
		decode(t, &d, stream[3:], oneByOne)
		if d.part != nil {
			t.Error("something is kept after the last message")
		}
	}
}

func TestWholeFramesAreNotCopied(t *testing.T) {
	b := frames("text:Hello ping:x")
	d := Decoder{}
	wantAllocs(t, "a whole frame", 0, func() {
		if m, n, ok, err := d.Next(b); !ok || err != nil || n != 11 || &m.Data[0] != &b[6] || cap(m.Data) != 5 {
			t.Fatalf("got %v, %d, %v, %v", m, n, ok, err)
		}
		Mask(b[6:11], testKey, 0) // as it came
	})
	decode(t, &d, frames("text:Hel-"), atOnce)
	wantAllocs(t, "a whole ping amid a message", 0, func() {
		if m, _, ok, err := d.Next(b[11:]); !ok || err != nil || &m.Data[0] != &b[17] {
			t.Fatalf("got %v, %v, %v", m, ok, err)
		}
	})
}

func wantAllocs(t *testing.T, what string, want float64, f func()) {
	t.Helper()
	if got := testing.AllocsPerRun(100, f); got != want {
		t.Errorf("%s: %v allocations, want %v", what, got, want)
	}
}

func BenchmarkDecoder(b *testing.B) {
	const messages = 64
	var stream []byte
	for range messages {
		stream = AppendMaskedFrame(stream, Text, testKey, bytes.Repeat([]byte("x"), 64))
	}
	for _, read := range []int{len(stream), 1000, 1} {
		b.Run(fmt.Sprintf("64x64/reads of %d", read), func(b *testing.B) {
			buf, d := make([]byte, len(stream)), Decoder{}
			b.SetBytes(int64(len(stream)))
			b.ReportAllocs()
			for b.Loop() {
				copy(buf, stream) // Next unmasks in place
				for chunk := range slices.Chunk(buf, read) {
					for len(chunk) > 0 {
						_, n, _, err := d.Next(chunk)
						if err != nil {
							b.Fatal(err)
						}
						chunk = chunk[n:]
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/messages, "ns/message")
		})
	}
}

// TestEmptyFragments: they may be many, but not without end.
func TestEmptyFragments(t *testing.T) {
	for _, test := range []struct {
		name  string
		empty int
		fault error
	}{
		{"as many as may be", maxEmpty, nil},
		{"one too many", maxEmpty + 1, errTooManyEmpty},
	} {
		stream := frames("text:a- " + strings.Repeat("cont:- ping:x ", test.empty) + "cont:b text:next")
		got, err := decode(t, new(Decoder), stream, inPieces(rand.New(rand.NewPCG(1, 1))))
		if err != test.fault {
			t.Errorf("%s: %v, want %v", test.name, err, test.fault)
		}
		if want := test.empty + 2; test.fault == nil && (len(got) != want || string(got[want-2].Data) != "ab") {
			t.Errorf("%s: %d messages, want %d", test.name, len(got), want)
		}
	}
}

// TestHeld: what a message that is not complete takes is known, to within a
// small part.
func TestHeld(t *testing.T) {
	var d Decoder
	if d.Held() != 0 {
		t.Errorf("a fresh decoder holds %d bytes", d.Held())
	}
	stream := frames("binary:" + strings.Repeat("x", 100_000))
	for n := 1; n < len(stream); n += 10_000 {
		d = Decoder{}
		d.Next(bytes.Clone(stream[:n]))
		if held := d.Held(); held < n || held > 2*n+1000 {
			t.Errorf("of %d bytes %d are held", n, held)
		}
	}
	if d = (Decoder{}); unsafe.Sizeof(*new(partial)) > partialSize {
		t.Errorf("a partial has %d bytes", unsafe.Sizeof(partial{}))
	}
	decode(t, &d, stream, oneByOne)
	if d.Held() != 0 {
		t.Errorf("after the message %d bytes are held", d.Held())
	}
}
