package main

import (
	"encoding/json"
	"io"
	"math/rand/v2"
	"net"
	"reflect"
	"strings"
	"testing"
)

// TestOneLine: whatever comes is one line, and JSON stays the same JSON.
func TestOneLine(t *testing.T) {
	parts := []string{"\n", "\r", "\t", " ", "\x00", "\x1b", "\x7f", "\u0085", "\u2028", "\xff", `"`, `\`, `\n`, "{", "}", "[", "]", ":", ",", "1", "a", "é"}
	valid := 0
	for range 50_000 {
		var b strings.Builder
		for range rand.IntN(8) {
			b.WriteString(parts[rand.IntN(len(parts))])
		}
		text := b.String()
		for _, line := range []string{string(oneLine([]byte(text))), string(jsonLine([]byte(text), false)), string(jsonLine([]byte(text), true))} {
			if strings.ContainsFunc(line, endsLine) {
				t.Fatalf("%q becomes %q", text, line)
			}
		}
		var before, after any
		if json.Unmarshal([]byte(text), &before) == nil && !strings.Contains(text, "\xff") {
			valid++
			if err := json.Unmarshal(oneLine([]byte(text)), &after); err != nil || !reflect.DeepEqual(before, after) {
				t.Fatalf("%q becomes %q: %v", text, oneLine([]byte(text)), err)
			}
		}
		if err := json.Unmarshal(jsonLine([]byte(text), false), &after); err != nil {
			t.Fatalf("%q becomes %q: %v", text, jsonLine([]byte(text), false), err)
		}
	}
	if valid < 250 {
		t.Errorf("only %d texts were JSON", valid)
	}
}

// TestErrorsAreHarmless: what a server says of itself does not take over the terminal.
func TestErrorsAreHarmless(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		conn.Read(make([]byte, 4096))
		io.WriteString(conn, "HTTP/1.1 500 \x1b]0;owned\a\u009b2J\r\nContent-Length: 0\r\n\r\n")
	}()
	var told strings.Builder
	if code := run([]string{"health", l.Addr().String()}, strings.NewReader(""), io.Discard, &told); code != 1 || !strings.HasSuffix(told.String(), ` answers 500 \x1b]0;owned\x07\u009b2J`+"\n") {
		t.Errorf("exit %d, and says %q", code, told.String())
	}
}
