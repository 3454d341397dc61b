package client

import (
	"slices"
	"testing"
)

// TestLines: a frame is taken apart if it has several messages, and only then.
func TestLines(t *testing.T) {
	for frame, want := range map[string][]string{
		`{"a":1}`:                    {`{"a":1}`},
		"{\"a\":1}\n{\"b\":2}":       {`{"a":1}`, `{"b":2}`},
		"{\"a\":1}\n{\"b\":{\n}}":    {"{\"a\":1}\n{\"b\":{\n}}"}, // of a client, as it is
		"{\"a\":[{\n}\n,\n{\n}]}":    {"{\"a\":[{\n}\n,\n{\n}]}"},
		"{\"a\":1}\n{\"b\":2}\nnone": {"{\"a\":1}\n{\"b\":2}\nnone"},
		"{\"a\":1}\n{\"b\":2}\n":     {"{\"a\":1}\n{\"b\":2}\n"},
	} {
		var got []string
		for _, line := range lines([]byte(frame)) {
			got = append(got, string(line))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", frame, got, want)
		}
	}
}
