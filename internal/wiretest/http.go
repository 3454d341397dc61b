package wiretest

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// web asks over HTTP.
var web = &http.Client{Timeout: patience}

// An answer is what a request got.
type answer struct {
	status int
	header http.Header
	body   string
}

// ask sends a request such as "POST /publish\nhello", with headers such as "Origin: null".
func (s server) ask(t *testing.T, request string, headers ...string) answer {
	t.Helper()
	a, err := s.tryAsk(request, headers...)
	if err != nil {
		t.Fatalf("%.100s: %v", request, err)
	}
	return a
}

// tryAsk is ask for every goroutine: it does not end the test.
func (s server) tryAsk(request string, headers ...string) (answer, error) {
	first, body, _ := strings.Cut(request, "\n")
	method, path, _ := strings.Cut(first, " ")
	r, err := http.NewRequest(method, s.http(path), strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		if name == "Host" {
			r.Host = value
		}
		r.Header.Add(name, value)
	}
	resp, err := web.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(data)}, err
}

// is checks the status of an answer.
func (a answer) is(t *testing.T, what string, status int) {
	t.Helper()
	if a.status != status {
		t.Errorf("%s: %d %s, want %d", what, a.status, a.body, status)
	}
}

// wants checks the status and the body of an answer.
func (a answer) wants(t *testing.T, what string, status int, body string) {
	t.Helper()
	if a.status != status || a.body != body {
		t.Errorf("%s\n got %d %q\nwant %d %q", what, a.status, a.body, status, body)
	}
}
