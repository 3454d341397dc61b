package main

import (
	"strings"
	"testing"
)

// TestColumns: what a terminal shows of a text, and not how many characters it
// has.
func TestColumns(t *testing.T) {
	for text, want := range map[string]int{
		"": 0, "ada": 3, "小明": 4, "ｈｉ": 4, "ﾊﾟ": 2, "한국": 4, "Müller": 6, "Mu\u0308ller": 6, "🎲🎮": 4, "❤\ufe0f": 1, "e\u200bf": 2, "שלום": 4,
	} {
		if got := columns(text); got != want {
			t.Errorf("%q takes %d columns, want %d", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"abcde": "abcde", "abcdef": "abcd…", "小明": "小明", "小明小": "小明…", "a小明小": "a小…", "abcde\u0301": "abcde\u0301", "abcd\u0301ef": "abcd\u0301…", "🎲🎮🎲": "🎲🎮…",
	} {
		if got := shortened(text, 5); got != want {
			t.Errorf("%q is shortened to %q, want %q", text, got, want)
		}
	}
}

// TestTablesLineUp: whatever clients call themselves and their topics.
func TestTablesLineUp(t *testing.T) {
	connections := `[{"connectionId":"uHQMC3WLQD1Bw80=","app":"live","user":"小明","topics":["🎲"],"connectedAt":"2026-01-02T12:57:23.479Z"},
		{"connectionId":"uHQMC9-d1DfVqSo=","app":"rooms","user":"Mu\u0308ller","topics":["lobby"],"connectedAt":"2026-01-02T12:57:23.479Z"}]`
	_, out, _ := ran("ls", "--url", answering(t, connections))
	lines := strings.Split(out, "\n")
	at := func(line int, word string) int {
		before, _, found := strings.Cut(lines[line], word)
		if !found {
			t.Fatalf("there is no %s in %q", word, lines[line])
		}
		return columns(before)
	}
	if len(lines) != 4 || at(0, "topics") != at(1, "🎲") || at(0, "topics") != at(2, "lobby") || at(0, "since") != at(1, "Jan") || at(0, "since") != at(2, "Jan") {
		t.Errorf("the columns are not in line:\n%s", out)
	}
	_, out, _ = ran("topics", "--url", answering(t, `[{"topic":"教室","app":"live","members":2},{"topic":"","app":"broadcast","members":1}]`))
	if want := "topic       app        members\n教室        live       2\n(everyone)  broadcast  1\n"; out != want {
		t.Errorf("topics are listed as\n%s\nwant\n%s", out, want)
	}
}
