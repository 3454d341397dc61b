package ws

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// https://www.rfc-editor.org/rfc/rfc6455#section-5.7
func TestTheRFCsExamples(t *testing.T) {
	key := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	big := func(n int) []byte { return bytes.Repeat([]byte{'x'}, n) }
	tests := []struct {
		name   string
		frame  []byte
		header string // in hexadecimal
	}{
		{"a single-frame unmasked text message", AppendFrame(nil, Text, []byte("Hello")), "81 05 48 65 6c 6c 6f"},
		{"a single-frame masked text message", AppendMaskedFrame(nil, Text, key, []byte("Hello")), "81 85 37 fa 21 3d 7f 9f 4d 51 58"},
		{"unmasked ping request", AppendFrame(nil, Ping, []byte("Hello")), "89 05 48 65 6c 6c 6f"},
		{"masked ping response", AppendMaskedFrame(nil, Pong, key, []byte("Hello")), "8a 85 37 fa 21 3d 7f 9f 4d 51 58"},
		{"256 bytes binary message", AppendFrame(nil, Binary, big(256)), "82 7e 01 00"},
		{"64KiB binary message", AppendFrame(nil, Binary, big(65536)), "82 7f 00 00 00 00 00 01 00 00"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			want := unhex(test.header)
			if got := test.frame[:len(want)]; !bytes.Equal(got, want) {
				t.Errorf("got % x, want % x", got, want)
			}
		})
	}
}

func TestTheLengthTakesItsShortestForm(t *testing.T) {
	tests := []struct {
		n      int
		header string
	}{
		{0, "82 00"},
		{1, "82 01"},
		{125, "82 7d"},
		{126, "82 7e 00 7e"},
		{65535, "82 7e ff ff"},
		{65536, "82 7f 00 00 00 00 00 01 00 00"},
	}
	for _, test := range tests {
		payload := bytes.Repeat([]byte("x"), test.n)
		want := append(unhex(test.header), payload...)
		if got := AppendFrame([]byte("before"), Binary, payload); string(got) != "before"+string(want) {
			t.Errorf("AppendFrame of %d bytes begins % x, want % x", test.n, got[6:16], unhex(test.header))
		}
		if got := AppendHeader(nil, Binary, test.n); !bytes.Equal(got, unhex(test.header)) {
			t.Errorf("AppendHeader of %d bytes is % x, want % x", test.n, got, unhex(test.header))
		}
	}
}

func TestOpcodesHaveNames(t *testing.T) {
	var got []string
	for op := range Opcode(12) {
		got = append(got, fmt.Sprintf("%v %v", op, op.IsControl()))
	}
	want := "continuation false,text false,binary false,opcode 3 false,opcode 4 false,opcode 5 false," +
		"opcode 6 false,opcode 7 false,close true,ping true,pong true,opcode 11 true"
	if got := strings.Join(got, ","); got != want {
		t.Errorf("got %s", got)
	}
}

// https://www.rfc-editor.org/rfc/rfc6455#section-1.3
func TestAcceptKeyIsTheRFCs(t *testing.T) {
	if got := AcceptKey("dGhlIHNhbXBsZSBub25jZQ=="); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Errorf("got %s", got)
	}
}

func TestFramesAreAppendedWithoutAllocating(t *testing.T) {
	dst, payload := make([]byte, 0, 1024), make([]byte, 500)
	wantAllocs(t, "AppendFrame", 0, func() { AppendFrame(dst, Text, payload) })
	wantAllocs(t, "AppendHeader", 0, func() { AppendHeader(dst, Text, 500) })
	wantAllocs(t, "AppendMaskedFrame", 0, func() { AppendMaskedFrame(dst, Text, [4]byte{1, 2, 3, 4}, payload) })
	wantAllocs(t, "AppendClose", 0, func() { AppendClose(dst, Close{GoingAway, "bye"}) })
}

func BenchmarkAppendFrame(b *testing.B) {
	for _, n := range []int{64, 4 << 10, 64 << 10} {
		payload, dst := make([]byte, n), make([]byte, 0, n+maxHeader)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetBytes(int64(n))
			for b.Loop() {
				dst = AppendFrame(dst[:0], Text, payload)
			}
		})
	}
}
