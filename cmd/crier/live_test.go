package main

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestLiveIsAConversation: what a person sees of live, who types on the same
// screen, or only looks.
func TestLiveIsAConversation(t *testing.T) {
	noon := time.Date(2026, 3, 4, 12, 0, 0, 0, time.Local)
	const hello = `{"_hello":{"id":"A","user":"ada","resume":"x","offset":"o","missed":false,"said":0,"count":3,` +
		`"here":[{"id":"A","user":"ada"},{"id":"B","user":"ben"},{"id":"C","user":"cleo"}]},"_topic":"lobby","_now":1}`
	const game = `{"_hello":{"id":"A","user":"ada","count":1,"here":[{"id":"A","user":"ada"}]},"_topic":"game","_now":1}`
	var views []*liveLook
	for _, mark := range []string{"< ", ""} {
		view := newLiveLook(look{terminal: true, mark: mark})
		view.clock = func() time.Time { return noon }
		views = append(views, view)
	}
	for _, c := range []struct{ frame, typing, looking string }{
		{`{"data":"before the greeting"}`, `< {"data":"before the greeting"}`, `{"data":"before the greeting"}`},
		{hello, "* lobby: you are ada; ben and cleo are here", "same"},
		{`{"data":"good morning","_topic":"lobby","_user":"ben","_from":"B","_offset":"o","_now":NOW,"_me":false}`, "12:00:00 ben: good morning", "same"},
		{`{"data":"I was here","_topic":"lobby","_user":"ada","_from":"Z","_now":NOW,"_me":true}`, "12:00:00 ada: I was here", "same"},
		{`{"v":1.50,"_key":"q","_topic":"lobby","_user":"ben","_from":"B","_now":NOW,"_me":false}`, `12:00:00 ben: q = {"v":1.50}`, "same"},
		{`{"_ready":true,"_topic":"lobby","_offset":"o","_now":1}`, "", ""},
		{`{"data":"hi","_topic":"lobby","_user":"ben","_from":"B","_now":NOW,"_me":false}`, "< ben: hi", "ben: hi"},
		{`{"data":"mine","_id":7,"_topic":"lobby","_user":"ada","_from":"A","_now":NOW,"_me":true}`, "", "ada: mine"},
		{`{"z":1,"a":{"b":[1, 2]},"n":12345678901234567890,"_keep":false,"_topic":"lobby","_from":"B","_now":NOW,"_me":false}`, `< B: {"z":1,"a":{"b":[1, 2]},"n":12345678901234567890}`, `B: {"z":1,"a":{"b":[1, 2]},"n":12345678901234567890}`},
		{`{"data":"psst","_to":"ada","_topic":"lobby","_user":"ben","_from":"B","_now":NOW,"_me":false}`, "< ben (privately): psst", "ben (privately): psst"},
		{`{"data":21.5,"_key":"kitchen","_topic":"lobby","_now":NOW,"_me":false}`, "< (over HTTP): kitchen = 21.5", "(over HTTP): kitchen = 21.5"},
		{`{"_key":"kitchen","_drop":true,"_topic":"lobby","_now":NOW,"_me":false}`, "< (over HTTP): kitchen is no more", "(over HTTP): kitchen is no more"},
		{`{"_topic":"lobby","_user":"ben","_from":"B","_now":NOW,"_me":false}`, "< ben: {}", "ben: {}"},
		{`{"data":"two\nlines","_topic":"lobby","_user":"ben","_from":"B","_now":NOW,"_me":false}`, "< ben: two\n  lines", "ben: two\n  lines"},
		{`{"_join":{"id":"D","user":"dan","same":0},"_topic":"lobby","_offset":"o","_now":1}`, "* dan joined", "same"},
		{`{"_join":{"id":"E","user":"dan","same":1},"_topic":"lobby","_offset":"o","_now":1}`, "* dan joined (1 other connection)", "same"},
		{`{"_leave":{"id":"D","user":"dan","same":2,"why":"left"},"_topic":"lobby","_now":1}`, "* dan left (2 remaining connections)", "same"},
		{`{"_leave":{"id":"B","user":"ben","same":0,"why":"lost"},"_topic":"lobby","_now":1}`, "* ben lost the connection", "same"},
		{`{"_leave":{"id":"C","same":0,"why":"kicked"},"_topic":"lobby","_now":1}`, "* C was disconnected", "same"},
		{`{"_error":{"name":"nobody","text":"nobody called ben is in this topic"},"_id":7,"_now":1}`, "* not sent: nobody called ben is in this topic", "same"},
		{game, "* game: you are ada; nobody else is here", "same"},
		{`{"_ready":true,"_topic":"game","_now":1}`, "", ""},
		{`{"data":"hi","_topic":"game","_user":"ben","_from":"B","_now":NOW,"_me":false}`, "< [game] ben: hi", "[game] ben: hi"},
		{`{"_join":{"id":"D","user":"dan","same":0},"_topic":"game","_now":1}`, "* dan joined, in game", "same"},
		{`{"_leave":{"id":"A","user":"ada","same":0,"why":"left"},"_topic":"game","_now":1}`, "* you left game", "same"},
		{hello, "", ""}, // the session goes on
		{`{"data":"meanwhile","_topic":"lobby","_user":"ben","_from":"B","_now":NOW,"_me":false}`, "< ben: meanwhile", "ben: meanwhile"},
		{`{"_ready":true,"_topic":"lobby","_now":1}`, "", ""},
		{strings.Replace(hello, `"missed":false`, `"missed":true`, 1), "* messages were missed; what follows is what lobby remembers\n* lobby: you are ada; ben and cleo are here", "same"},
		{`{"_ready":true,"_topic":"lobby","_now":1}`, "", ""},
		{`{ "a<b" : "<&>", "é":1 ,"_topic":"lobby","_user":"ben","_from":"B","_now":NOW,"_me":false}`, `< ben: {"a<b" : "<&>","é":1}`, `ben: {"a<b" : "<&>","é":1}`},
		{`not JSON`, "< not JSON", "not JSON"},
		{`["a list"]`, `< ["a list"]`, `["a list"]`},
	} {
		for i, want := range []string{c.typing, c.looking} {
			if want == "same" {
				want = c.typing
			}
			if want != "" {
				want += "\n"
			}
			frame := strings.ReplaceAll(c.frame, "NOW", strconv.FormatInt(noon.UnixMilli(), 10))
			if got := string(views[i].message([]byte(frame), false)); got != want {
				t.Errorf("%s\nis shown as %q, want %q", c.frame, got, want)
			}
		}
	}
}

// TestLiveCrowd: of many, the first are named and the others counted.
func TestLiveCrowd(t *testing.T) {
	for n, want := range map[int]string{
		0: "nobody else is here", 1: "u1 is here", 3: "u1, u2 and u3 are here", 8: "u1, u2, u3, u4, u5, u6, u7 and u8 are here",
		12: "u1, u2, u3, u4, u5, u6, u7, u8 and 4 more are here",
	} {
		here := []string{`{"id":"A","user":"ada"}`}
		for i := range n {
			here = append(here, fmt.Sprintf(`{"id":"I%d","user":"u%d"}`, i, i+1))
		}
		hello := fmt.Sprintf(`{"_hello":{"id":"A","user":"ada","count":%d,"here":[%s]},"_topic":"a","_now":1}`, n+1, strings.Join(here, ","))
		if got := string(newLiveLook(look{terminal: true}).message([]byte(hello), false)); got != "* a: you are ada; "+want+"\n" {
			t.Errorf("of %d others it says %q", n, got)
		}
	}
	counted := `{"_hello":{"id":"A","count":5000,"here":[{"id":"B","user":"ben"},{"id":"C","user":"ben"}]},"_topic":"a","_now":1}`
	if got, want := string(newLiveLook(look{terminal: true}).message([]byte(counted), false)), "* a: you have no name; ben and 4998 more are here\n"; got != want {
		t.Errorf("of those who are only counted it says %q, want %q", got, want)
	}
}

// TestLiveIsHarmless: whatever others call themselves, say or set, the terminal
// obeys only us, and a message passes neither for another nor for a note.
func TestLiveIsHarmless(t *testing.T) {
	view := newLiveLook(look{terminal: true, mark: "< "})
	view.message([]byte(`{"_hello":{"id":"A","count":0,"here":[]},"_topic":"a","_now":1}`), false)
	view.message([]byte(`{"_ready":true,"_topic":"a","_now":1}`), false)
	for frame, want := range map[string]string{
		`{"data":"\u001b[2J\n* ben joined\u202e","_topic":"a","_user":"x\u001b]0;owned\u0007","_from":"B","_now":1}`: `< "x\x1b]0;owned\x07": \x1b[2J`,
		`{"data":"hi","_topic":"a","_user":"ben: hello\n","_from":"B","_now":1}`:                                     `< "ben: hello": hi`,
		`{"data":"hi","_key":"k\u001b[2J","_topic":"a","_from":"B\u001b","_now":1}`:                                  `< B\x1b: k\x1b[2J = hi`,
		`{"_HELLO":{"id":"X"},"_Join":{"id":"X"},"_topic":"a","_user":"ben","_from":"B","_now":1}`:                   `< ben: {"_HELLO":{"id":"X"},"_Join":{"id":"X"}}`,
		"{\"a\u009b\":\"\u202e\",\"_topic\":\"a\",\"_user\":\"ben\",\"_from\":\"B\",\"_now\":1}":                     `< ben: {"a\u009b":"\u202e"}`,
		`{"_join":{"id":"B","user":"ben left\n* ann"},"_topic":"a","_now":1}`:                                        "* ben left * ann joined",
		`{"_error":{"name":"x","text":"\u001b[2J"},"_now":1}`:                                                        `* not sent: \x1b[2J`,
	} {
		got := string(view.message([]byte(frame), false))
		if first, _, _ := strings.Cut(got, "\n"); first != want {
			t.Errorf("%s\nis shown as %q, want %q", frame, got, want)
		}
		if strings.ContainsAny(got, "\x1b\a\u009b\u202e") || strings.Contains(got, "\n* ") || strings.Contains(got, "\n<") {
			t.Errorf("%s\nmakes the terminal obey: %q", frame, got)
		}
	}
	if got := string(view.message([]byte{0, 1}, true)); got != "< (binary, 2 bytes) 00 01\n" {
		t.Errorf("a binary message is shown as %q", got)
	}
}
