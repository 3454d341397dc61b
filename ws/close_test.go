package ws

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParseClose(t *testing.T) {
	tests := []struct {
		name    string
		payload string
		want    Close
		fault   error
	}{
		{"empty", "", Close{Code: NoStatus}, nil},
		{"half a code", "\x03", Close{}, Close{ProtocolError, "a close code is two bytes long"}},
		{"no reason", "\x03\xe8", Close{Code: NormalClosure}, nil},
		{"a reason", "\x03\xe9bye", Close{GoingAway, "bye"}, nil},
		{"a reason that is not UTF-8", "\x03\xe8\xff", Close{}, Close{InvalidPayload, "the reason in a close frame must be valid UTF-8"}},
		{"half a character", "\x03\xe8\xe2\x82", Close{}, Close{InvalidPayload, "the reason in a close frame must be valid UTF-8"}},
		{"no such code", "\x03\xed", Close{}, Close{ProtocolError, "close code 1005 must not be sent"}},
		{"a bad code comes before a bad reason", "\x00\x00\xff", Close{}, Close{ProtocolError, "close code 0 must not be sent"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParseClose([]byte(test.payload))
			if got != test.want || err != test.fault {
				t.Errorf("got %v, %v; want %v, %v", got, err, test.want, test.fault)
			}
		})
	}
}

// https://www.rfc-editor.org/rfc/rfc6455#section-7.4
func TestTheCodesThatMayBeSent(t *testing.T) {
	sendable := []struct{ from, to int }{{1000, 1003}, {1007, 1014}, {3000, 4999}}
	for code := range 1 << 16 {
		want := false
		for _, r := range sendable {
			want = want || r.from <= code && code <= r.to
		}
		_, err := ParseClose([]byte{byte(code >> 8), byte(code)})
		if got := err == nil; got != want {
			t.Fatalf("code %d: accepted is %v, want %v", code, got, want)
		}
		if frame := AppendClose(nil, Close{Code: uint16(code)}); (len(frame) == 4) != want {
			t.Fatalf("code %d: written as % x", code, frame)
		}
	}
}

func TestAppendClose(t *testing.T) {
	a := strings.Repeat("a", 200)
	tests := []struct {
		name string
		c    Close
		want string // the payload
	}{
		{"code and reason", Close{GoingAway, "bye"}, "\x03\xe9bye"},
		{"no code", Close{Reason: "dropped with it"}, ""},
		{"a code that stands for none", Close{NoStatus, "dropped with it"}, ""},
		{"a long reason is cut", Close{GoingAway, a}, "\x03\xe9" + a[:123]},
		{"a reason that just fits", Close{GoingAway, a[:120] + "€"}, "\x03\xe9" + a[:120] + "€"},
		{"not within a character", Close{GoingAway, a[:121] + "€" + a}, "\x03\xe9" + a[:121]},
		{"nor within a long one", Close{GoingAway, a[:120] + "😀" + a}, "\x03\xe9" + a[:120]},
		{"what is not UTF-8 is mended", Close{GoingAway, "a\xffb"}, "\x03\xe9a\uFFFDb"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			want := AppendFrame(nil, CloseFrame, []byte(test.want))
			if got := AppendClose(nil, test.c); string(got) != string(want) {
				t.Errorf("got %q, want %q", got, want)
			}
			key := [4]byte{1, 2, 3, 4}
			want = AppendMaskedFrame(nil, CloseFrame, key, []byte(test.want))
			if got := AppendMaskedClose(nil, key, test.c); string(got) != string(want) {
				t.Errorf("masked: got %q, want %q", got, want)
			}
		})
	}
}

func TestACloseIsAnError(t *testing.T) {
	var err error = Close{TooBig, "messages are limited to 4 bytes"}
	var c Close
	if !errors.As(err, &c) || c.Code != TooBig {
		t.Errorf("errors.As gives %v", c)
	}
	if got := err.Error(); got != "close 1009: messages are limited to 4 bytes" {
		t.Errorf("got %q", got)
	}
	if got := (Close{Code: NoStatus}).Error(); got != "close 1005" {
		t.Errorf("got %q", got)
	}
}

func FuzzParseClose(f *testing.F) {
	f.Add([]byte(""))
	f.Add([]byte("\x03"))
	f.Add([]byte("\x03\xe8bye"))
	f.Add([]byte("\x03\xe8\xff"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		c, err := ParseClose(payload)
		if err != nil {
			fault, ok := err.(Close)
			if !ok || fault.Code != ProtocolError && fault.Code != InvalidPayload {
				t.Fatalf("%#v tells the peer nothing", err)
			}
			c = fault
		}
		if !utf8.ValidString(c.Reason) {
			t.Fatalf("reason %q", c.Reason)
		}
		frame := AppendClose(nil, c)
		if len(frame) > 2+maxControl {
			t.Fatalf("%d bytes of close frame", len(frame))
		}
		again, err := ParseClose(frame[2:])
		if err != nil || again != (Close{c.Code, cut(c.Reason)}) {
			t.Fatalf("%v was written and read as %v, %v", c, again, err)
		}
	})
}
