package app

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzLive lets a client say anything. What the others get is JSON with the
// server's members at its end, each once.
func FuzzLive(f *testing.F) {
	script, err := os.ReadFile("testdata/live/orders.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, block := range strings.Split(string(script), "\n\n") {
		f.Add([]byte(strings.SplitN(block, "\n", 3)[1]), "ada")
	}
	f.Fuzz(func(t *testing.T, data []byte, user string) {
		if !utf8.Valid(data) || !utf8.ValidString(user) {
			return
		}
		const id = "JC1dgf9yoAMCK-g="
		var o Order
		conn := &Conn{ID: id, Identity: Identity{User: user}, Topics: []string{"a", `b"`}}
		Live{}.Message(&o, Event{Conn: conn, Now: 5, Data: data})
		for _, frame := range [][]byte{o.Frame, o.Copy} {
			SentAt(frame)
			OffsetOf(frame)
			if o.Do == Enter || o.Do == Exit || o.Do == Refuse && frame == nil {
				continue
			}
			members := namesOf(t, frame)
			if o.Do == Refuse {
				if !members["_error"] {
					t.Fatalf("%q is refused with %s", data, frame)
				}
				continue
			}
			for _, name := range []string{"_hello", "_ready", "_error", "_join", "_leave"} {
				if members[name] {
					t.Fatalf("%q became %s", data, frame)
				}
			}
			for _, name := range []string{"_topic", "_from", "_now", "_me"} {
				if !members[name] {
					t.Fatalf("%q became %s, without %s", data, frame, name)
				}
			}
		}
		if o.OffsetAt > 0 {
			copy(o.Frame[o.OffsetAt:], "m4k2q-00000001d")
			copy(o.Copy[o.CopyOffsetAt:], "m4k2q-00000001d")
			if OffsetOf(o.Frame) != "m4k2q-00000001d" || OffsetOf(o.Copy) != "m4k2q-00000001d" || !From(o.Frame, id) || SentAt(o.Frame) != 5 {
				t.Fatalf("%q became %s", data, o.Frame)
			}
			if mine := AppendMine(nil, o.Frame); o.id == nil && !bytes.Equal(mine, o.Copy) {
				t.Fatalf("%q: the copy is %s, made later %s", data, o.Copy, mine)
			}
		}
	})
}

// namesOf returns the names of a frame's members. Those of the server must be
// there once at most.
func namesOf(t *testing.T, frame []byte) map[string]bool {
	dec := json.NewDecoder(bytes.NewReader(frame))
	dec.UseNumber()
	if _, err := dec.Token(); err != nil {
		t.Fatalf("%q: %v", frame, err)
	}
	names := make(map[string]bool)
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			t.Fatalf("%q: %v", frame, err)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			t.Fatalf("%q: %v", frame, err)
		}
		n := name.(string)
		if names[n] && (n == "_topic" || n == "_from" || n == "_now" || n == "_me" || n == "_offset" || n == "_user" || n == "_key") {
			t.Fatalf("%q has %s twice", frame, n)
		}
		names[n] = true
	}
	return names
}
