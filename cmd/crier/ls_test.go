package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

// answering is a server that gives every request the same answer.
func answering(t *testing.T, body string, header ...string) (url string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// ran runs a command without a terminal.
func ran(args ...string) (code int, out, errOut string) {
	var o, e bytes.Buffer
	code = run(args, strings.NewReader(""), &o, &e)
	return code, o.String(), e.String()
}

const twoConnections = `[
	{"connectionId":"uHQMC3WLQD1Bw80=","app":"live","user":"ada\u001b[2J\n\u202e","topics":["a\u0007","","c","d","e"],"unread":3,"throttled":true,"server":"a:8080",
	 "connectedAt":"2026-01-02T12:57:23.479Z","identity":{"sourceIp":"192.0.2.1\r"},"lastActiveAt":"2026-01-02T12:57:23.479Z"},
	{"connectionId":"uHQMC9-d1DfVqSo=","app":"rooms","topics":[],"unread":0,"server":"b:8080","connectedAt":"2026-01-02T12:57:24.479Z","identity":{"sourceIp":"2001:db8::1"}}]`

// TestListIsHarmless: a table of several servers, with all that clients may call
// themselves.
func TestListIsHarmless(t *testing.T) {
	url := answering(t, twoConnections, "Crier-Servers", "3", "Crier-Answered", "2")
	code, out, errOut := ran("ls", "--url", url)
	day := time.Date(2026, 1, 2, 12, 57, 0, 0, time.UTC).Local().Format("Jan 2 15:04")
	want := strings.ReplaceAll(`
id                app    user              topics                            address      since         unread         server
uHQMC3WLQD1Bw80=  live   ada\x1b[2J \u202e  a\x07, (everyone), c and 2 more  192.0.2.1    DAY  3 (throttled)  a:8080
uHQMC9-d1DfVqSo=  rooms  -                 -                                 2001:db8::1  DAY  0              b:8080
`, "DAY", day)
	if code != 0 || fields(out) != fields(want) {
		t.Errorf("exit code %d; it prints\n%s\nwant\n%s", code, out, want)
	}
	if errOut != "2 of 3 servers have answered; the others are left out\n" {
		t.Errorf("it warns %q", errOut)
	}
	_, out, _ = ran("ls", "--url", url, "--json")
	if lines := strings.Split(out, "\n"); len(lines) != 3 || strings.ContainsAny(out, "\x1b\r\u202e") || !strings.Contains(lines[0], `"user":"ada\u001b[2J\n\u202e"`) {
		t.Errorf("as JSON it prints %q", out)
	}
	if code, _, errOut := ran("topics", "lobby", "--url", answering(t, `["a\u001b[2J\nb"]`)); code != 0 || errOut != "" {
		t.Errorf("exit code %d, %q", code, errOut)
	}
	if _, out, _ := ran("topics", "lobby", "--url", answering(t, `["a\u001b[2J\nb"]`)); out != `a\x1b[2J b`+"\n" {
		t.Errorf("a member is shown as %q", out)
	}
	if _, out, _ := ran("topics", "--url", answering(t, `[{"topic":"a\u001b[2J","app":"live","members":2}]`)); !strings.Contains(out, `a\x1b[2J  live  2`) {
		t.Errorf("a topic is shown as %q", out)
	}
}

// fields is a table without what its columns are wide.
func fields(table string) string {
	var rows []string
	for line := range strings.Lines(strings.TrimSpace(table)) {
		rows = append(rows, strings.Join(strings.Fields(line), " "))
	}
	return strings.Join(rows, "\n")
}

// TestListOfSomethingElse: what answers is no crier, or stops in the middle.
func TestListOfSomethingElse(t *testing.T) {
	for body, want := range map[string]string{
		"<p>hello":                  "answers, but not as crier does: is it the right address?",
		`{"status":"fine"}`:         "answers, but not as crier does",
		`["a"]`:                     "answers, but not as crier does",
		`[`:                         "ends early or is not crier's",
		`[{"connectionId":"a"}`:     "ends early or is not crier's",
		`[{"connectionId":"a"},{"c`: "ends early or is not crier's",
	} {
		for _, command := range []string{"ls", "topics"} {
			code, out, errOut := ran(command, "--url", answering(t, body))
			if code != 1 || out != "" || !strings.Contains(errOut, want) {
				t.Errorf("crier %s of %s: exit code %d, %q, %q", command, body, code, out, errOut)
			}
		}
	}
}

// TestListIsLong: a person at a terminal gets the first hundred and a note, a
// program gets all.
func TestListIsLong(t *testing.T) {
	for l, want := range map[length]int{-1: 100, 0: 2147483647, 7: 7} {
		if got := l.most(streams{screen: os.Stdout}); got != want {
			t.Errorf("in a terminal, %d lists %d, want %d", l, got, want)
		}
	}
	if got := length(-1).most(streams{}); got != 2147483647 {
		t.Errorf("in a pipe, it lists %d", got)
	}
	var rows []string
	for i := range 250 {
		rows = append(rows, fmt.Sprintf(`{"connectionId":"id-%03d","app":"live","topics":["a"]}`, i))
	}
	code, out, errOut := ran("ls", "--limit", "200", "--url", answering(t, "["+strings.Join(rows, ",")+"]"))
	if lines := strings.Count(out, "\n"); code != 0 || lines != 201 || !strings.Contains(out, "id-199") || errOut != "only the 200 oldest are listed; --limit 0 lists all\n" {
		t.Errorf("exit code %d, %d lines, %q", code, lines, errOut)
	}
}

// TestNamesAreSteps: no name of a topic or user leads to another path.
func TestNamesAreSteps(t *testing.T) {
	var asked string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.Method + " " + r.RequestURI
		io.WriteString(w, "[]")
	}))
	defer server.Close()
	for name, want := range map[string]string{
		"a/b": "/users/a%2Fb", "..": "/users/%2E%2E", ".": "/users/%2E", "a b?c": "/users/a%20b%3Fc", "ä": "/users/%C3%A4", "50%": "/users/50%25", "...": "/users/...",
	} {
		if code, _, errOut := ran("kick", "--user", name, "--url", server.URL+"/crier/"); code != 0 || asked != "DELETE /crier"+want {
			t.Errorf("%q: exit code %d, %q, asked for %q, want %s", name, code, errOut, asked, want)
		}
	}
}
