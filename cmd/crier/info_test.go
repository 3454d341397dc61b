package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// stated is a server that answers /stats and /readyz.
func stated(t *testing.T, stats, state string) (url string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/stats" && r.URL.RawQuery == "":
			io.WriteString(w, stats)
		case r.URL.Path == "/readyz" && r.Header.Get("Authorization") != "":
			http.Error(w, "/readyz needs no key", http.StatusBadRequest)
		case r.URL.Path == "/readyz" && state == "ok":
			io.WriteString(w, "ok\n")
		case r.URL.Path == "/readyz" && state != "":
			http.Error(w, state, http.StatusServiceUnavailable)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

const oneServer = `{"now":1795320809280,"connections":{"chat":0,"live":1,"broadcast":2},"topics":3,"messages":12,"deliveries":24,
	"bytesIn":1,"bytesOut":1,"backlog":0}`

const twoOfThree = `{"servers":3,"answered":2,"now":1795320809280,"connections":{"live":7},"topics":4,"messages":5,"deliveries":60,
	"bytesIn":1,"bytesOut":1,"backlog":0,"each":[
	{"server":"b:8080","connections":3,"messages":5,"deliveries":6},
	{"server":"a\u001b:8080","connections":4,"messages":0,"deliveries":54}]}`

// TestInfo: what is shown of a server, and of several.
func TestInfo(t *testing.T) {
	for name, c := range map[string]struct {
		stats, state string
		want         string
	}{
		"one server": {oneServer, "ok", `
address       URL
state         ready
connections   3: broadcast 2, live 1
topics        3
messages      12
deliveries    24
`},
		"its log on disk": {strings.Replace(oneServer, "{", `{"servers":1,"answered":1,"each":[{"server":"a","connections":3}],`, 1), "draining", `
address       URL
state         not ready: draining
connections   3: broadcast 2, live 1
topics        3
messages      12
deliveries    24
`},
		"two of three": {twoOfThree, "no\n \x1bquorum", `
address       URL
state         not ready: no \x1bquorum
servers       2 of 3 answer; what follows leaves out the others
connections   7: live 7
topics        4 (a topic counts once for each server where it has members)
messages      5
deliveries    60

server       connections   messages   deliveries
a\x1b:8080   4             0          54
b:8080       3             5          6
`},
		"cut off": {`{"servers":3,"answered":1,"now":1,"connections":{},"each":[{"server":"a:8080"}]}`, "", `
address       URL
state         unknown: /readyz answers 404 Not Found
servers       1 of 3 answers; what follows leaves out the others
connections   0
topics        0 (a topic counts once for each server where it has members)
messages      0
deliveries    0

server   connections   messages   deliveries
a:8080   0             0          0
`},
	} {
		url := stated(t, c.stats, c.state)
		var out, errOut bytes.Buffer
		code := run([]string{"info", "ws" + strings.TrimPrefix(url, "http") + "?topic=a", "--admin-key", "k"}, strings.NewReader(""), &out, &errOut)
		want := strings.Replace(c.want, "URL", url, 1)
		if got := "\n" + out.String(); code != 0 || got != want || errOut.Len() > 0 {
			t.Errorf("%s: exit code %d, %q\n%s\nwant\n%s", name, code, errOut.String(), got, want)
		}
	}
}

// TestInfoOfSomethingElse: what answers is no crier.
func TestInfoOfSomethingElse(t *testing.T) {
	for _, stats := range []string{"<p>hello", `{"status":"fine"}`, oneServer[:10], `{"now":"yesterday"}`} {
		url := stated(t, stats, "ok")
		var out, errOut bytes.Buffer
		code := run([]string{"info", url}, strings.NewReader(""), &out, &errOut)
		want := "crier: info: " + strings.TrimPrefix(url, "http://") + " answers, but not as crier does: is it the right address?\n"
		if code != 1 || out.Len() > 0 || errOut.String() != want {
			t.Errorf("%s: exit code %d, %q, %q", stats, code, errOut.String(), out.String())
		}
	}
}
