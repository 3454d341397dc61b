package main

import (
	"bytes"
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
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

	file := keyFile(t, "s3cret\n")
	for name, test := range map[string]struct {
		args              []string
		input             string
		wantAsk, wantBody string
	}{
		"arguments":       {[]string{"hello", "you all"}, "unread", "POST /publish ", "hello you all"},
		"topics":          {[]string{"--topic", "a b", "--topic", "c,d", "x"}, "", "POST /publish?topic=a+b&topic=c%2Cd ", "x"},
		"key":             {[]string{"--admin-key", "s3cret", "x"}, "", "POST /publish Bearer s3cret", "x"},
		"key file":        {[]string{"--admin-key-file", file, "x"}, "", "POST /publish Bearer s3cret", "x"},
		"input":           {nil, "one\ntwo\n\n", "POST /publish ", "one\ntwo\n"},
		"dash":            {[]string{"-"}, "windows\r\n", "POST /publish ", "windows"},
		"binary input":    {[]string{"-"}, "\x00\xff\r", "POST /publish ", "\x00\xff\r"},
		"ws address":      {[]string{"--url", ws, "x"}, "", "POST /publish ", "x"},
		"host and port":   {[]string{"--url", strings.TrimPrefix(ws, "ws://"), "x"}, "", "POST /publish ", "x"},
		"behind a path":   {[]string{"--url", server.URL + "/crier/?a=b", "x"}, "", "POST /crier/publish?a=b ", "x"},
		"an empty one":    {[]string{""}, "unread", "POST /publish ", ""},
		"an empty line":   {nil, "\n", "POST /publish ", ""},
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

// TestPublishNothing: an input that ends before it has begun is no message.
func TestPublishNothing(t *testing.T) {
	for _, args := range [][]string{nil, {"-"}} {
		_, err := published(t, "", append([]string{"--url", freeAddress(t)}, args...)...)
		if err == nil || err.Error() != "there is no message: the input is empty" {
			t.Errorf("crier publish %q: %v", args, err)
		}
	}
}

func TestPublishRefused(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("topic") {
		case "secret":
			http.Error(w, "publishing is not for you", http.StatusUnauthorized)
		case "big":
			http.Error(w, "a message has at most\n128 KiB", http.StatusRequestEntityTooLarge)
		case "moved":
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		}
	}))
	defer server.Close()
	for topic, want := range map[string]string{
		"secret": "refused: 401 Unauthorized: publishing is not for you",
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

// TestWrongScheme: who speaks TLS with a server that does not, or the other way
// round, is told which address to try, whatever kind of server it is.
func TestWrongScheme(t *testing.T) {
	plain, secure := httptest.NewServer(http.NotFoundHandler()), httptest.NewTLSServer(http.NotFoundHandler())
	defer plain.Close()
	defer secure.Close()
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	alerting, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var answering sync.WaitGroup
	defer answering.Wait()
	defer alerting.Close()
	answering.Go(func() {
		for {
			conn, err := alerting.Accept()
			if err != nil {
				return
			}
			conn.Read(make([]byte, 1<<10))
			conn.Write([]byte("\x15\x03\x01\x00\x02\x02\x46")) // a fatal alert
			conn.Close()
		}
	})
	for address, want := range map[string]string{
		"https://" + plain.Listener.Addr().String(): "does not speak TLS: try http://",
		"wss://" + plain.Listener.Addr().String():   "does not speak TLS: try http://",
		"http://" + secure.Listener.Addr().String(): "refused: 400 Bad Request: Client sent an HTTP request to an HTTPS server.; try https://",
		"http://" + alerting.Addr().String():        "speaks TLS only: try https://",
		secure.URL:                                  "is not to be trusted: certificate signed by unknown authority; if it is your own, use --insecure",
	} {
		if _, err := published(t, "", "--url", address, "x"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", address, err, want)
		}
	}
}

// keyFile writes a file with a text and returns its path.
func keyFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAdminKey(t *testing.T) {
	for text, want := range map[string]string{
		"s3cret": "s3cret", "s3cret\n": "s3cret", " \ts3cret two \r\nmore\n": "s3cret two", "schlüssel\n": "schlüssel",
		"": "is empty", "\n": "is empty", "  \t\r\ns3cret\n": "is empty", "s3\x00cret": "cannot be seen", "\ufeffs3cret": "cannot be seen",
		"\xff\xfes\x003\x00": "cannot be seen", "s3\tcret": "cannot be seen", "s3\u200bcret": "cannot be seen",
	} {
		key, err := secret{name: "admin key", file: keyFile(t, text)}.read()
		switch {
		case err == nil && key != want, err != nil && !strings.Contains(err.Error(), want):
			t.Errorf("%q: got %q, %v, want %q", text, key, err, want)
		case err != nil && strings.Contains(err.Error(), "cret"):
			t.Errorf("%q: the error tells of the key: %v", text, err)
		}
	}
	for _, given := range []secret{{text: " s3cret "}, {text: "s3cret"}} {
		if key, err := given.read(); key != "s3cret" || err != nil {
			t.Errorf("%+v: got %q, %v", given, key, err)
		}
	}
	for want, given := range map[string]secret{
		"one of the two": {text: "s3cret", file: keyFile(t, "s3cret")},
		"no such file":   {file: filepath.Join(t.TempDir(), "none")},
		"cannot be seen": {text: "a\nb"},
	} {
		if key, err := given.read(); err == nil || !strings.Contains(err.Error(), want) || key != "" {
			t.Errorf("%+v: got %q, %v, want %s", given, key, err, want)
		}
	}
	if key, err := adminKey().read(); key != "" || err != nil {
		t.Errorf("none: got %q, %v", key, err)
	}
}
