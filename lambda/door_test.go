package lambda

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestStrangers: neither API answers a page that finds its port, by address or
// by a name that was made to point there, nor a proxy. Programs are answered,
// whatever else they send.
func TestStrangers(t *testing.T) {
	invoked := false
	invoke, err := NewInvokeAPI(func(string) (*Function, func()) { invoked = true; return nil, nil })
	if err != nil {
		t.Fatal(err)
	}
	defer invoke.Close()
	runtime, err := newRuntimeAPI(Config{Name: "f", Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	defer runtime.close()
	address, _ := strings.CutPrefix(invoke.URL(), "http://")
	for _, c := range []struct {
		address, request string
		known            int // the status that a program gets
	}{
		{address, "POST /2015-03-31/functions/f/invocations", 404},
		{address, "GET /", 404},
		{runtime.address(), "POST /2018-06-01/runtime/invocation/8476a536-e9f4-11e8-9739-2dfe598c3fcd/response", 400},
		{runtime.address(), "GET /2018-06-01/runtime", 404},
	} {
		for lines, stranger := range map[string]bool{
			"Host: " + c.address: false,
			"Host: localhost:1":  false,
			"Host: [::1]":        false,
			"Host: evil.example": true,
			"Host: evil.example:80\r\nOrigin: http://evil.example:80": true,
			"Host: 192.168.1.5":                     true,
			"Host:":                                 true,
			"Origin: http://evil.example":           true,
			"Origin: http://localhost:3000":         true,
			"Origin: null":                          true,
			"Sec-Fetch-Site: cross-site":            true,
			"Sec-Fetch-Site: same-site":             true,
			"X-Forwarded-For:":                      true,
			"Via: 1.1 proxy":                        true,
			"X-Amzn-Trace-Id: Root=1-5-5;Sampled=0": false,
			"User-Agent: aws-sdk-js/3.0.0":          false,
			"Amz-Sdk-Invocation-Id: 1\r\nX-Amz-Date: x\r\nAuthorization: AWS4-HMAC-SHA256 x": false,
			"Lambda-Runtime-Function-Error-Type: Unhandled":                                  false,
		} {
			if !strings.HasPrefix(lines, "Host:") {
				lines = "Host: " + c.address + "\r\n" + lines
			}
			invoked = false
			status, body := asked(t, c.address, c.request+" HTTP/1.1\r\n"+lines+"\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
			want := c.known
			if stranger {
				want = http.StatusForbidden
			}
			if status != want || stranger && (invoked || !strings.Contains(body, "programs of this machine")) {
				t.Errorf("%s with %q: got %d %s, want %d", c.request, lines, status, body, want)
			}
		}
	}
}

// asked sends a request as it is, and returns the answer.
func asked(t *testing.T, address, request string) (status int, body string) {
	t.Helper()
	nc, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(nc, request)
	resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text)
}
