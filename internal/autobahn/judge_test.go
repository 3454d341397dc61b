package autobahn

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestList counts the cases of each section, as the suite lists them.
func TestList(t *testing.T) {
	want := map[string]int{"1": 16, "2": 11, "3": 7, "4": 10, "5": 20, "6": 145, "7": 37, "9": 54, "10": 1,
		"12": 90, "13": 126}
	got := make(map[string]int)
	seen := make(map[string]bool)
	for _, c := range cases() {
		section, _, _ := strings.Cut(c.ID, ".")
		got[section] += c.Stands
		if seen[c.ID] {
			t.Errorf("there are two cases %s", c.ID)
		}
		seen[c.ID] = true
		if strict := c.rate(c.Want); strict == Failed || strict == NonStrict {
			t.Errorf("%s is rated %s when all goes well", c.ID, strict)
		}
	}
	for section, n := range want {
		if got[section] != n {
			t.Errorf("section %s has %d cases, want %d", section, got[section], n)
		}
	}
}

var cases = sync.OnceValue(Cases)

// find returns the case with an id.
func find(t *testing.T, id string) Case {
	t.Helper()
	cases := cases()
	i := slices.IndexFunc(cases, func(c Case) bool { return c.ID == id })
	if i < 0 {
		t.Fatalf("there is no case %s", id)
	}
	return cases[i]
}

func TestJudge(t *testing.T) {
	text := func(s string) Event { return Event{Text, []byte(s)} }
	open := Event{Kind: StillOpen}
	for _, test := range []struct {
		id   string
		seen Seen
		want string
	}{
		{"1.1.1", Seen{Events: []Event{text("")}, Code: 1000, Ended: true}, "OK 1000"},
		{"1.1.1", Seen{Events: []Event{text("x")}, Code: 1000, Ended: true}, `FAILED: got text "x"; want text ""`},
		{"1.1.1", Seen{Events: []Event{{Binary, nil}}, Code: 1000, Ended: true}, `FAILED: got binary ""; want text ""`},
		{"1.1.1", Seen{Events: []Event{text(""), text("")}, Code: 1000, Ended: true}, `FAILED: got text "", text ""; want text ""`},
		{"1.1.1", Seen{Code: 1000, Ended: true}, `FAILED: got nothing; want text ""; close: 1000`},
		{"1.1.1", Seen{Events: []Event{text("")}, Code: 1001, Ended: true}, "FAILED: closed with 1001; want one of [1000]"},
		{"1.1.1", Seen{Events: []Event{text("")}, Code: 1000, First: true, Ended: true}, "FAILED: the server closed first: 1000"},
		{"1.1.1", Seen{Events: []Event{text("")}, Code: 1000}, "FAILED: the server left the connection open: 1000"},
		{"1.1.1", Seen{Events: []Event{text("")}, Ended: true}, "FAILED: the connection ended without a close frame"},
		{"1.1.1", Seen{Events: []Event{text("")}, Code: 1000, Ended: true, Fault: errors.New("a fault")}, "FAILED: a fault"},
		{"3.1", Seen{Code: 1002, First: true, Ended: true}, "OK 1002"},
		{"3.1", Seen{Ended: true}, "OK no frame"},
		{"3.1", Seen{}, "FAILED: the server left the connection open: no frame"},
		{"3.1", Seen{Code: 1007, First: true, Ended: true}, "FAILED: closed with 1007; want one of [1002]"},
		{"3.1", Seen{Code: 1002, Ended: true}, "FAILED: the server closed only when the client did: 1002"},
		{"3.2", Seen{Events: []Event{text("Hello, world!")}, Code: 1002, First: true, Ended: true}, "OK 1002"},
		{"3.2", Seen{Code: 1002, First: true, Ended: true}, "NON-STRICT 1002"},
		{"3.2", Seen{Events: []Event{text("Hello, world!"), {Pong, nil}}, Code: 1002, First: true, Ended: true},
			`FAILED: got text "Hello, world!", pong ""; want text "Hello, world!"`},
		{"6.4.1", Seen{Events: []Event{open}, Code: 1007, First: true, Ended: true}, "OK 1007"},
		{"6.4.1", Seen{Events: []Event{open, open}, Code: 1007, First: true, Ended: true}, "NON-STRICT 1007"},
		{"6.4.1", Seen{Code: 1007, First: true, Ended: true}, `FAILED: got nothing; want still open ""`},
		{"7.1.6", Seen{Code: 1000, Ended: true}, "INFORMATIONAL 1000"},
		{"7.1.6", Seen{Events: []Event{text("Hello World!")}, Code: 1000, Ended: true}, "FAILED: got text"},
		{"7.3.1", Seen{Code: noCode, Ended: true}, "OK no code"},
		{"7.3.2", Seen{Code: noCode, Ended: true}, "FAILED: closed with no code; want one of [1002]"},
		{"7.7.10", Seen{Code: 3000, Ended: true}, "OK 3000"},
		{"7.7.10", Seen{Code: 3001, Ended: true}, "FAILED: closed with 3001"},
		{"7.9.1", Seen{Ended: true}, "OK no frame"},
		{"12.*", Seen{Code: 1000, Ended: true}, "not offered 1000"},
		{"12.*", Seen{Code: 1000, Ended: true, Extensions: "permessage-deflate"}, "FAILED: the server agreed to permessage-deflate"},
	} {
		if got := find(t, test.id).judge(test.seen).String(); !strings.HasPrefix(got, test.want) {
			t.Errorf("%s, %+v\n got %s\nwant %s", test.id, test.seen, got, test.want)
		}
	}
}

func TestUnstamp(t *testing.T) {
	for stamped, want := range map[string]string{
		`{"data":"hi","_now":1,"_me":true}`:                 "hi",
		`{"data":"","_now":1,"_me":true}`:                   "",
		`{"data":"\u0000\ud83d\ude00","_now":1,"_me":true}`: "\x00😀",
	} {
		if got, err := unstamp([]byte(stamped)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v; want %q", stamped, got, err, want)
		}
	}
	for _, bad := range []string{
		`hi`,
		`{"data":"hi","_now":1,"_me":false}`,
		`{"data":"hi","_me":true}`,
		`{"_now":1,"_me":true}`,
		`{"data":1,"_now":1,"_me":true}`,
		`{"data":"hi","_now":1,"_me":true,"more":1}`,
		`{"data":"hi","_now":1,"_me":true} {}`,
		`{"data":"hi","_now":1,"_me":true}}`,
		"{\"data\":\"\xff\",\"_now\":1,\"_me\":true}",
	} {
		if got, err := unstamp([]byte(bad)); err == nil {
			t.Errorf("%s is taken for the text %q", bad, got)
		}
	}
}

// TestReadFrame: what a server must not send is no frame.
func TestReadFrame(t *testing.T) {
	for stream, want := range map[string]string{
		"\x81\x02hi": "",
		"\x82\x7e\x00\x7e" + strings.Repeat("x", 126): "",
		"":                         "EOF",
		"\x81\x02h":                "the stream ended amid a frame",
		"\x81":                     "the stream ended amid a frame",
		"\x81\x7e\x00":             "the stream ended amid a frame",
		"\xc1\x00":                 "the server set a reserved bit",
		"\x81\x80\x00\x00\x00\x00": "the server masked a frame",
		"\x83\x00":                 "the server sent opcode 3",
		"\x8b\x00":                 "the server sent opcode 11",
		"\x09\x00":                 "the server sent a control frame that is too long, or a fragment",
		"\x89\x7e\x00\x7e":         "the server sent a control frame that is too long, or a fragment",
		"\x81\x7e\x00\x7d":         "the server wrote a length of 125 in 2 octets",
		"\x81\x7f\x00\x00\x00\x00\x00\x00\xff\xff": "the server wrote a length of 65535 in 8 octets",
		"\x81\x7f\x80\x00\x00\x00\x00\x00\x00\x00": "the server announced a frame of 9223372036854775808 octets",
	} {
		_, err := readFrame(bufio.NewReader(strings.NewReader(stream)))
		if got := errorText(err); got != want {
			t.Errorf("%.20q: %q, want %q", stream, got, want)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestBadServers: a server that breaks rules fails.
func TestBadServers(t *testing.T) {
	for _, test := range []struct {
		name   string
		server func(net.Conn)
		want   map[string]string
	}{
		{"parrot", parrot, map[string]string{
			"1.1.2":       "OK 1000",
			"2.2":         "OK 1000",
			"7.7.2":       "OK 1001",
			"2.5":         "FAILED: the server sent a control frame that is too long",
			"3.1":         `FAILED: got text "Hello, world!"; want nothing`,
			"3.6, ping":   `FAILED: got pong "Hello, world!"; want nothing`,
			"4.1.2":       `FAILED: got binary "reserved opcode payload"; want nothing`,
			"5.1":         `FAILED: got pong "fragment1"`,
			"5.3":         `FAILED: got text "fragment1"`,
			"5.18":        `FAILED: got text "fragment1"`,
			"6.3.1":       `FAILED: got text`,
			"6.4.1":       `FAILED: got text`,
			"7.3.2":       "FAILED: the server sent half a close code",
			"7.3.6":       "FAILED: the server sent a control frame that is too long",
			"7.5.1":       "FAILED: the server sent a close reason that is not UTF-8",
			"7.9.1":       "FAILED: the server sent close code 0",
			"7.9.6":       "FAILED: closed with 1016",
			"2.4, octets": "OK 1000",
			"13.2.*":      "FAILED: the server agreed to permessage-deflate",
		}},
		{"mute", func(nc net.Conn) { io.Copy(io.Discard, nc) }, map[string]string{
			"1.1.1": "FAILED: got nothing",
			"2.1":   "FAILED: got nothing",
			"2.7":   "FAILED: the server left the connection open: no frame",
			"3.1":   "FAILED: the server left the connection open: no frame",
			"6.3.2": "FAILED: the server left the connection open: no frame",
		}},
		{"goner", func(nc net.Conn) {}, map[string]string{
			"1.1.1": "FAILED: got nothing",
			"2.7":   "FAILED: the connection ended without a close frame",
			"3.1":   "OK no frame",
			"6.4.1": "FAILED: got nothing",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := Server{URL: serve(t, test.server), Patience: 500 * time.Millisecond}
			for id, want := range test.want {
				if got := Run(find(t, id), s).String(); !strings.HasPrefix(got, want) {
					t.Errorf("%s\n got %s\nwant %s", id, got, want)
				}
			}
		})
	}
}

// serve agrees to every handshake and leaves the rest to speak.
func serve(t *testing.T, speak func(net.Conn)) (url string) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		nc, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer nc.Close()
		answer := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
			"Sec-WebSocket-Accept: " + acceptKey(r.Header.Get("Sec-WebSocket-Key")) + "\r\n"
		if offer := r.Header.Get("Sec-WebSocket-Extensions"); offer != "" {
			answer += "Sec-WebSocket-Extensions: " + offer + "\r\n"
		}
		io.WriteString(nc, answer+"\r\n")
		speak(nc)
	}))
	t.Cleanup(s.Close)
	return "ws" + strings.TrimPrefix(s.URL, "http")
}

// parrot repeats every frame and checks none of them.
func parrot(nc net.Conn) {
	in := bufio.NewReader(nc)
	for {
		op, payload, err := readMasked(in)
		if err != nil {
			return
		}
		switch op {
		case opText:
			payload, _ = json.Marshal(map[string]any{"data": string(payload), "_now": 1, "_me": true})
		case opPing:
			op = opPong
		case opClose, opPong:
		default:
			op = opBinary
		}
		nc.Write(unmasked(op, payload))
		if op == opClose {
			return
		}
	}
}

// readMasked reads a frame as a server does.
func readMasked(in *bufio.Reader) (op byte, payload []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return 0, nil, err
	}
	length, err := readLength(in, head[1]&0x7f)
	if err != nil {
		return 0, nil, err
	}
	masked := make([]byte, 4+length)
	_, err = io.ReadFull(in, masked)
	for i := range masked[4:] {
		masked[4+i] ^= masked[i%4]
	}
	return head[0] & 0x0f, masked[4:], err
}

// unmasked is a frame from a server, with a length of two octets if it must be.
func unmasked(op byte, payload []byte) []byte {
	frame := []byte{0x80 | op, byte(len(payload))}
	if n := len(payload); n > 125 {
		frame = []byte{0x80 | op, 126, byte(n >> 8), byte(n)}
	}
	return append(frame, payload...)
}
