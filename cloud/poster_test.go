package cloud

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
)

// TestSignatures: what is signed here is signed as the JavaScript SDK signs it, to the last character.
func TestSignatures(t *testing.T) {
	script, err := os.ReadFile("testdata/sign.mjs")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", "--input-type=module", "-")
	cmd.Dir, cmd.Stdin, cmd.Env = "../examples/lambda", bytes.NewReader(script), append(os.Environ(), "NODE_NO_WARNINGS=1", "AWS_SDK_JS_SUPPRESS_MAINTENANCE_MODE_MESSAGE=1")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: run make test, or npm ci in examples/lambda", err)
	}
	now := time.Date(2026, 11, 21, 10, 15, 30, 0, time.UTC)
	to, err := url.Parse("https://abc123.execute-api.eu-west-1.amazonaws.com/live")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); n++ {
		var signed struct{ Method, ID, Body, SessionToken, Authorization string }
		if err := d.Decode(&signed); err != nil {
			t.Fatal(err)
		}
		p := newPoster(credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", signed.SessionToken), "eu-west-1")
		credentials, err := p.credentials.Retrieve(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		request, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(p.appendRequest(nil, credentials, signed.Method, to, signed.ID, newBody([]byte(signed.Body)), now))))
		if err != nil {
			t.Fatal(err)
		}
		if got := request.Header.Get("Authorization"); got != signed.Authorization || request.ContentLength != int64(len(signed.Body)) {
			t.Errorf("%s id %q, %d bytes, token %q:\ngot  %s\nwant %s", signed.Method, signed.ID, len(signed.Body), signed.SessionToken, got, signed.Authorization)
		}
	}
	if n != 60 {
		t.Errorf("%d signatures were compared, want 60", n)
	}
}

// TestLinesAreKept: a line that was idle for longer than a post may take is used again, and one that was closed is not.
func TestLinesAreKept(t *testing.T) {
	var lines atomic.Int64
	api := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	api.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			lines.Add(1)
		}
	}
	api.Start()
	defer api.Close()
	to, err := url.Parse(api.URL)
	if err != nil {
		t.Fatal(err)
	}
	p := newPoster(credentials.NewStaticCredentialsProvider("AKID", "secret", ""), "us-east-1")
	const timeout = 500 * time.Millisecond
	post := func(want int64) {
		t.Helper()
		if status, again, err := p.post(t.Context(), timeout, to, "id", newBody(nil)); status != 200 || again || err != nil {
			t.Fatalf("%d, %v, %v", status, again, err)
		}
		if got := lines.Load(); got != want {
			t.Errorf("%d lines, want %d", got, want)
		}
	}
	post(1)
	time.Sleep(timeout + 50*time.Millisecond)
	post(1)
	api.CloseClientConnections()
	time.Sleep(50 * time.Millisecond) // so that it is known here
	post(2)
}
