package autobahn

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Cases returns all cases, in the suite's order. They have the facts of the
// suite's sources, autobahntestsuite/case/case*.py.
func Cases() []Case {
	list := slices.Concat(framing(), pings(), reservedBits(), opcodes(), fragmentation(), fragmentFaults(), text(),
		closing(), closeFrames(), closeCodes(), limits(), roundTrips(), autoFragmentation())
	for i := range list {
		list[i].Stands = 1
	}
	slices.SortFunc(list, func(a, b Case) int { return slices.Compare(numbers(a.ID), numbers(b.ID)) })
	return slices.Concat(list, compression(), ours(list))
}

// numbers are those of an id.
func numbers(id string) (list []int) {
	for s := range strings.SplitSeq(id, ".") {
		n, err := strconv.Atoi(s)
		if err != nil {
			panic("a case has the id " + id)
		}
		list = append(list, n)
	}
	return list
}

// A message is what a case sends, and what the echo of it is.
type message struct {
	op      byte
	payload []byte
}

func (m message) frame() Frame { return Frame{Op: m.op, Payload: m.payload} }

func (m message) event() Event { return Event{kindOf[m.op], m.payload} }

// echoed completes a case whose events must be want, after which the client
// closes with 1000.
func echoed(c Case, want ...Event) Case {
	c.Want, c.Codes, c.Clean = want, []int{1000}, true
	return c
}

// refused completes a case in which the server must close with 1002 after the
// events in want. A server that closes without them is NON-STRICT.
func refused(c Case, want ...Event) Case {
	c.Want, c.Codes, c.ServerCloses = want, []int{1002}, true
	if len(want) > 0 {
		c.Lax = [][]Event{nil}
	}
	return c
}

// once sends frames as chop says.
func once(chop int, frames ...Frame) []Step { return []Step{{Frames: frames, Chop: chop}} }

// chopped says how chop cuts what is sent.
func chopped(chop int) string {
	switch chop {
	case 0:
		return ""
	case 1:
		return ", octet by octet"
	case perFrame:
		return ", frame by frame"
	}
	return fmt.Sprintf(", in chops of %d octets", chop)
}

// kinds are the two kinds of messages, with the octet that the suite fills them
// with.
var kinds = []struct {
	name string
	op   byte
	fill string
}{{"text", opText, "*"}, {"binary", opBinary, "\xfe"}}

// framing is section 1.
func framing() (list []Case) {
	for i, kind := range kinds {
		add := func(size, chop int) {
			m := message{kind.op, bytes.Repeat([]byte(kind.fill), size)}
			list = append(list, echoed(Case{
				ID:    fmt.Sprintf("1.%d.%d", i+1, len(list)%8+1),
				Does:  fmt.Sprintf("sends a %s message of %d octets%s", kind.name, size, chopped(chop)),
				Steps: once(chop, m.frame()),
			}, m.event()))
		}
		for _, size := range []int{0, 125, 126, 127, 128, 65535, 65536} {
			add(size, 0)
		}
		add(65536, 997)
	}
	return list
}

func ping(payload string) Frame { return Frame{Op: opPing, Payload: []byte(payload)} }
func pong(payload string) Event { return Event{Pong, []byte(payload)} }

// pings is section 2.
func pings() []Case {
	long := strings.Repeat("\xfe", 125)
	unasked := Frame{Op: opPong, Payload: []byte("unsolicited pong payload")}
	bye := closeFrame(1000, "")
	var many []Frame
	var answers []Event
	for i := range 10 {
		payload := fmt.Sprintf("payload-%d", i)
		many, answers = append(many, ping(payload)), append(answers, pong(payload))
	}
	const odd = "\x00\xff\xfe\xfd\xfc\xfb\x00\xff"
	return []Case{
		echoed(Case{ID: "2.1", Does: "sends a ping without payload", Steps: once(0, ping(""))}, pong("")),
		echoed(Case{ID: "2.2", Does: "sends a ping with text",
			Steps: once(0, ping("Hello, world!"))}, pong("Hello, world!")),
		echoed(Case{ID: "2.3", Does: "sends a ping with octets that are not UTF-8", Steps: once(0, ping(odd))}, pong(odd)),
		echoed(Case{ID: "2.4", Does: "sends a ping of 125 octets", Steps: once(0, ping(long))}, pong(long)),
		refused(Case{ID: "2.5", Does: "sends a ping of 126 octets", Steps: once(0, ping(long+"\xfe"))}),
		echoed(Case{ID: "2.6", Does: "sends a ping of 125 octets, octet by octet", Steps: once(1, ping(long))}, pong(long)),
		echoed(Case{ID: "2.7", Does: "sends a pong without payload that nobody asked for, and closes",
			Steps: []Step{{Frames: []Frame{{Op: opPong}, bye}, Closes: true}}}),
		echoed(Case{ID: "2.8", Does: "sends a pong with payload that nobody asked for, and closes",
			Steps: []Step{{Frames: []Frame{unasked, bye}, Closes: true}}}),
		echoed(Case{ID: "2.9", Does: "sends a pong that nobody asked for, then a ping",
			Steps: once(0, unasked, ping("ping payload"))}, pong("ping payload")),
		echoed(Case{ID: "2.10", Does: "sends ten pings", Steps: once(0, many...)}, answers...),
		echoed(Case{ID: "2.11", Does: "sends ten pings, octet by octet", Steps: once(1, many...)}, answers...),
	}
}

// The text messages of many cases.
var (
	hello      = message{opText, []byte("Hello, world!")}
	helloThere = message{opText, []byte("Hello World!")}
)

// afterHello is a case that sends a good message, a bad frame, and a ping that
// must not be answered.
func afterHello(id, bad string, chop int, f Frame) Case {
	return refused(Case{ID: id, Does: "sends text, " + bad + ", and a ping" + chopped(chop),
		Steps: once(chop, hello.frame(), f, ping(""))}, hello.event())
}

// reservedBits is section 3. In the suite, too, 3.6 sends a binary message,
// though it calls that a ping.
func reservedBits() []Case {
	with := func(rsv byte) Frame { return Frame{Op: opText, RSV: rsv, Payload: hello.payload} }
	again := func(rsv byte) string { return fmt.Sprintf("again with RSV = %d", rsv) }
	return []Case{
		refused(Case{ID: "3.1", Does: "sends text with RSV = 1", Steps: once(0, with(1))}),
		afterHello("3.2", again(2), 0, with(2)),
		afterHello("3.3", again(3), perFrame, with(3)),
		afterHello("3.4", again(4), 1, with(4)),
		refused(Case{ID: "3.5", Does: "sends a binary message with RSV = 5",
			Steps: once(0, Frame{Op: opBinary, RSV: 5, Payload: []byte("\x00\xff\xfe\xfd\xfc\xfb\x00\xff")})}),
		refused(Case{ID: "3.6", Does: "sends a binary message with RSV = 6",
			Steps: once(0, Frame{Op: opBinary, RSV: 6, Payload: hello.payload})}),
		refused(Case{ID: "3.7", Does: "sends a close frame with RSV = 7", Steps: once(0, Frame{Op: opClose, RSV: 7})}),
	}
}

// opcodes is section 4.
func opcodes() (list []Case) {
	for i, first := range []byte{3, 11} {
		id := func(n int) string { return fmt.Sprintf("4.%d.%d", i+1, n) }
		unknown := func(n byte, payload string) Frame { return Frame{Op: first + n, Payload: []byte(payload)} }
		name := func(n byte) string { return fmt.Sprintf("a frame with opcode %d", first+n) }
		list = append(list,
			refused(Case{ID: id(1), Does: "sends " + name(0) + " and no payload", Steps: once(0, unknown(0, ""))}),
			refused(Case{ID: id(2), Does: "sends " + name(1), Steps: once(0, unknown(1, "reserved opcode payload"))}),
			afterHello(id(3), name(2)+" and no payload", 0, unknown(2, "")),
			afterHello(id(4), name(3), 0, unknown(3, "Hello, world!")),
			afterHello(id(5), name(4), 1, unknown(4, "Hello, world!")))
	}
	return list
}

// fragment is a text or continuation frame after which more follow.
func fragment(op byte, payload string) Frame {
	return Frame{Op: op, More: true, Payload: []byte(payload)}
}

// last is a frame after which the message is complete.
func last(op byte, payload string) Frame { return Frame{Op: op, Payload: []byte(payload)} }

// fragmentation is the part of section 5 in which a message comes back.
func fragmentation() (list []Case) {
	first, second := fragment(opText, "fragment1"), last(opContinuation, "fragment2")
	more := func(payload string) Frame { return fragment(opContinuation, payload) }
	whole := Event{Text, []byte("fragment1fragment2")}
	for i, chop := range []int{0, perFrame, 1} {
		does := "sends text in two fragments"
		list = append(list,
			echoed(Case{ID: fmt.Sprintf("5.%d", 3+i), Does: does + chopped(chop),
				Steps: once(chop, first, second)}, whole),
			echoed(Case{ID: fmt.Sprintf("5.%d", 6+i), Does: does + " with a ping between" + chopped(chop),
				Steps: once(chop, first, ping("ping payload"), second)}, pong("ping payload"), whole))
	}
	list = append(list, refused(Case{ID: "5.15",
		Does:  "sends text in two fragments, a continuation that continues nothing, and text",
		Steps: once(0, first, second, more("fragment3"), last(opText, "fragment4"))}, whole))
	for i, chop := range []int{0, perFrame} {
		list = append(list, echoed(Case{ID: fmt.Sprintf("5.%d", 19+i),
			Does: "sends text in five fragments with pings after the second and fourth" + chopped(chop) +
				"; waits for the first pong",
			Steps: []Step{
				{Chop: chop, Frames: []Frame{first, more("fragment2"), ping("pongme 1!")}},
				{Chop: chop, After: 1, Frames: []Frame{more("fragment3"), more("fragment4"), ping("pongme 2!"),
					last(opContinuation, "fragment5")}},
			}}, pong("pongme 1!"), pong("pongme 2!"), Event{Text, []byte("fragment1fragment2fragment3fragment4fragment5")}))
	}
	return list
}

// fragmentFaults is the part of section 5 in which nothing comes back.
func fragmentFaults() (list []Case) {
	add := func(number int, does string, chop int, frames ...Frame) {
		list = append(list, refused(Case{ID: fmt.Sprintf("5.%d", number), Does: does + chopped(chop),
			Steps: once(chop, frames...)}))
	}
	end := last(opContinuation, "fragment2")
	add(1, "sends a ping in two fragments", 0, fragment(opPing, "fragment1"), end)
	add(2, "sends a pong in two fragments", 0, fragment(opPong, "fragment1"), end)
	const stray, lastStray = "a continuation that continues nothing", "a last continuation that continues nothing"
	for i, chop := range []int{0, perFrame, 1} {
		const payload = "non-continuation payload"
		add(9+i, "sends "+lastStray+", then text", chop, last(opContinuation, payload), hello.frame())
		add(12+i, "sends "+stray+", then text", chop, fragment(opContinuation, payload), hello.frame())
	}
	rest := []Frame{fragment(opText, "fragment2"), last(opContinuation, "fragment3")}
	round := slices.Concat([]Frame{fragment(opContinuation, "fragment1")}, rest)
	lastRound := slices.Concat([]Frame{last(opContinuation, "fragment1")}, rest)
	add(16, "sends, twice, "+stray+", and text in two fragments", 0, slices.Concat(round, round)...)
	add(17, "sends, twice, "+lastStray+", and text in two fragments", 0, slices.Concat(lastRound, lastRound)...)
	add(18, "sends two fragments which both begin a text", 0, fragment(opText, "fragment1"), last(opText, "fragment2"))
	return list
}

// autoFragmentation is section 10.
func autoFragmentation() []Case {
	m := message{opText, bytes.Repeat([]byte("*"), 65536)}
	return []Case{echoed(Case{ID: "10.1.1", Does: "sends text of 65536 octets in fragments of 1300",
		Steps: once(0, fragments(m.op, m.payload, 1300)...)}, m.event())}
}

// limits is section 9 up to 9.6.
func limits() (list []Case) {
	const limit = time.Minute
	phrases := []string{"BAsd7&jh23", "\x00\xfe\x23\xfa\xf0"}
	for i, kind := range kinds {
		phrase := bytes.Repeat([]byte(phrases[i]), 16<<20/len(phrases[i])+1)
		add := func(section, number int, does string, m message, chop int, frames ...Frame) {
			list = append(list, echoed(Case{ID: fmt.Sprintf("9.%d.%d", section+i, number), Limit: limit,
				Does: "sends a " + kind.name + " message of " + does + chopped(chop), Steps: once(chop, frames...)}, m.event()))
		}
		for n, size := range []int{64 << 10, 256 << 10, 1 << 20, 4 << 20, 8 << 20, 16 << 20} {
			m := message{kind.op, phrase[:size]}
			add(1, n+1, binarySize(size), m, 0, m.frame())
		}
		fill := message{kind.op, bytes.Repeat([]byte(kind.fill), 4<<20)}
		for n, size := range []int{64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20} {
			add(3, n+1, "4 MiB in fragments of "+binarySize(size), fill, 0, fragments(fill.op, fill.payload, size)...)
		}
		for n, chop := range []int{64, 128, 256, 512, 1024, 2048} {
			m := message{kind.op, phrase[:1<<20]}
			add(5, n+1, "1 MiB", m, chop, m.frame())
		}
	}
	return list
}

func binarySize(n int) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d octets", n)
}

// roundTrips is 9.7 and 9.8: the next message is sent when the last has come
// back.
func roundTrips() (list []Case) {
	const rounds = 1000
	for i, kind := range kinds {
		for n, size := range []int{0, 16, 64, 256, 1024, 4096} {
			m := message{kind.op, bytes.Repeat([]byte(kind.fill), size)}
			c := Case{ID: fmt.Sprintf("9.%d.%d", 7+i, n+1), Limit: time.Minute,
				Does: fmt.Sprintf("sends %d %s messages of %d octets, each when the last has come back", rounds, kind.name, size)}
			for round := range rounds {
				c.Steps = append(c.Steps, Step{After: round, Frames: []Frame{m.frame()}})
			}
			list = append(list, echoed(c, slices.Repeat([]Event{m.event()}, rounds)...))
		}
	}
	return list
}
