package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// published runs crier publish with args.
func published(t *testing.T, input string, args ...string) (printed string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := newPublish()
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	var out bytes.Buffer
	cmd.SetIn(strings.NewReader(input))
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(args)
	err = cmd.ExecuteContext(ctx)
	return out.String(), err
}

func TestPublish(t *testing.T) {
	var asked, said string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked, said = r.Method+" "+r.RequestURI+" "+r.Header.Get("Authorization"), string(body)
		w.WriteHeader(http.StatusAccepted)
		io.WriteString(w, "taken")
	}))
	defer server.Close()
	ws := "ws" + strings.TrimPrefix(server.URL, "http")

	for name, test := range map[string]struct {
		args              []string
		input             string
		wantAsk, wantBody string
	}{
		"arguments":       {[]string{"hello", "you all"}, "unread", "POST /publish ", "hello you all"},
		"topics":          {[]string{"--topic", "a b", "--topic", "c,d", "x"}, "", "POST /publish?topic=a+b&topic=c%2Cd ", "x"},
		"key":             {[]string{"--admin-key", "s3cret", "x"}, "", "POST /publish Bearer s3cret", "x"},
		"input":           {nil, "one\ntwo\n\n", "POST /publish ", "one\ntwo\n"},
		"dash":            {[]string{"-"}, "windows\r\n", "POST /publish ", "windows"},
		"binary input":    {[]string{"-"}, "\x00\xff\r", "POST /publish ", "\x00\xff\r"},
		"ws address":      {[]string{"--url", ws, "x"}, "", "POST /publish ", "x"},
		"host and port":   {[]string{"--url", strings.TrimPrefix(ws, "ws://"), "x"}, "", "POST /publish ", "x"},
		"behind a path":   {[]string{"--url", server.URL + "/crier/?a=b", "x"}, "", "POST /crier/publish?a=b ", "x"},
		"dash among more": {[]string{"a", "-", "b"}, "unread", "POST /publish ", "a - b"},
	} {
		t.Run(name, func(t *testing.T) {
			printed, err := published(t, test.input, append([]string{"--url", server.URL}, test.args...)...)
			if printed != "" || err != nil {
				t.Fatalf("printed %q, %v", printed, err)
			}
			if asked != test.wantAsk || said != test.wantBody {
				t.Errorf("sent %q with %q, want %q with %q", asked, said, test.wantAsk, test.wantBody)
			}
		})
	}
}

func TestPublishRefused(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("topic") {
		case "secret":
			http.Error(w, "publishing needs the admin key", http.StatusUnauthorized)
		case "big":
			http.Error(w, "a message has at most\n128 KiB", http.StatusRequestEntityTooLarge)
		case "moved":
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		}
	}))
	defer server.Close()
	for topic, want := range map[string]string{
		"secret": "refused: 401 Unauthorized: publishing needs the admin key",
		"big":    "refused: 413 Request Entity Too Large: a message has at most 128 KiB",
		"moved":  "refused: 302 Found",
	} {
		if _, err := published(t, "", "--url", server.URL, "--topic", topic, "x"); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", topic, err, want)
		}
	}
	free := freeAddress(t)
	if _, err := published(t, "", "--url", free, "x"); err == nil || !strings.Contains(err.Error(), "is crier serve running?") {
		t.Errorf("nobody there: %v", err)
	}
}
