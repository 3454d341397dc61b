package stamp

import (
	"encoding/json"
	"testing"
	"unicode/utf8"
)

func FuzzAppend(f *testing.F) {
	for _, r := range recordings(f) {
		f.Add([]byte(r.Input), "", "", int64(1700000000000))
		f.Add([]byte(r.Others), "lobby", "payload", int64(0))
	}
	for _, m := range messages {
		f.Add([]byte(m.data), "a\"b", "", int64(-1))
	}
	f.Add([]byte(`{"\u005fme":1,"_me" : 2 , "_topic":3,"_now":4,"_now":5}`), "a", "", int64(1))
	f.Fuzz(func(t *testing.T, data []byte, topic, name string, now int64) {
		switch name {
		case "_topic", "_now", "_me":
			return // not allowed
		}
		s := Stamp{Now: now, Topic: topic, Name: name}
		checkAppend(t, s, string(data), slowAppend(s, string(data)))
	})
}

func FuzzObject(f *testing.F) {
	for _, r := range recordings(f) {
		f.Add([]byte(r.Input), "a")
		f.Add([]byte(r.Others), "_me")
	}
	f.Add([]byte(`{"\u0061ction":1,"action":[]}`), "action")
	f.Add([]byte(`{"\ud83d\ude00":1,"\ud83d":2}`), "😀")
	f.Fuzz(func(t *testing.T, data []byte, name string) {
		if !utf8.Valid(data) || !utf8.ValidString(name) {
			// encoding/json replaces what we leave alone.
			Object(data, []string{name}, make([][]byte, 1))
			return
		}
		checkObject(t, data, []string{name, "a", "action"})
	})
}

func FuzzString(f *testing.F) {
	for _, r := range recordings(f) {
		f.Add(r.Input)
		f.Add(slowString(r.Input))
	}
	f.Add(`"\ud83d\ude00\ud83d\u0041\ude00\n\/"`)
	f.Fuzz(func(t *testing.T, text string) {
		raw := AppendString(nil, text)
		if string(raw) != slowString(text) {
			t.Fatalf("AppendString(%q) = %s", text, raw)
		}
		if s, ok := String(raw); !ok || s != text {
			t.Fatalf("String(%s) = %q, %v", raw, s, ok)
		}
		got, ok := String([]byte(text))
		var want *string
		wantOK := len(text) > 1 && text[0] == '"' && text[len(text)-1] == '"' &&
			json.Unmarshal([]byte(text), &want) == nil
		if ok != wantOK {
			t.Fatalf("String(%q) = %q, %v", text, got, ok)
		}
		if ok && utf8.ValidString(text) && got != *want {
			t.Fatalf("String(%q) = %q, want %q", text, got, *want)
		}
	})
}
