package cloud

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"os/exec"
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
