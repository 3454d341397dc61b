package door

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
)

// TestFraming: however what a client sends is cut, each head is known when it
// is complete, and nothing is passed on beyond it.
func TestFraming(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	bodies := []string{"", "x", "hello", "\r\n\r\n", "\n\n", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", strings.Repeat("\r\n", 50)}
	for range 2000 {
		var stream bytes.Buffer
		var passed []string // heads and bodies
		for range 1 + random.IntN(5) {
			newline := []string{"\r\n", "\n"}[random.IntN(2)]
			body := bodies[random.IntN(len(bodies))]
			length := fmt.Sprintf("Content-Length: %d", len(body)) + newline
			if body == "" && random.IntN(2) == 0 {
				length = ""
			}
			head := "POST / HTTP/1.1" + newline + "Host: x" + newline + length + newline
			passed = append(passed, head)
			if body != "" {
				passed = append(passed, body)
			}
			stream.WriteString(head + body)
		}
		var f framing
		var got []string
		part := ""
		for rest := stream.Bytes(); len(rest) > 0; {
			n := f.take(rest[:1+random.IntN(len(rest))])
			part += string(rest[:n])
			rest = rest[n:]
			if len(got) < len(passed) && part == passed[len(got)] {
				if strings.HasPrefix(part, "POST / HTTP/1.1") && strings.Contains(part, "Host") && string(f.judged) != part {
					t.Fatalf("after %q it knows %q", part, f.judged)
				}
				got, part = append(got, part), ""
			}
			if n == 0 || f.blind {
				t.Fatalf("it takes %d of %q, blind %v", n, rest, f.blind)
			}
		}
		if part != "" || len(got) != len(passed) {
			t.Fatalf("%q: passed on %q and then %q", stream.Bytes(), got, part)
		}
	}
}

// TestJudged: what the head of a request says of where it ends.
func TestJudged(t *testing.T) {
	for lines, want := range map[string]string{
		"":                      "0 false false",
		"Content-Length: 5\r\n": "5 false false",
		"content-length:5\n":    "5 false false",
		"Content-Length: 5\r\nA: b\r\nContent-Length: 5\r\n":       "5 false false",
		"Content-Length: 5\r\nContent-Length: 6\r\n":               "0 true false",
		"Content-Length: 5, 5\r\n":                                 "0 true false",
		"Content-Length: +5\r\n":                                   "0 true false",
		"Content-Length: -5\r\n":                                   "0 true false",
		"Content-Length: 99999999999999999999\r\n":                 "0 true false",
		"Content-Length:\r\n 5\r\n":                                "0 true false",
		"Content-Length: 5\r\nA: b\r\n c\r\n":                      "0 true false",
		"Transfer-Encoding: chunked\r\n":                           "0 true false",
		"Transfer-Encoding:\r\n chunked\r\n":                       "0 true false",
		"Transfer-Encoding: identity\r\nContent-Length: 5\r\n":     "0 true true",
		"Content-Length: 5\r\nTRANSFER-ENCODING: chunked\r\n":      "0 true true",
		"Content-Length : 5\r\nTransfer-Encoding\t: chunked\r\n":   "0 true true",
		"X-Content-Length: 5\r\nX: Transfer-Encoding: chunked\r\n": "0 false false",
		"X: y\r\n Content-Length: 5\r\n":                           "0 true false",
	} {
		h := head("POST / HTTP/1.1\r\nHost: x\r\n" + lines + "\r\n")
		length, blind := h.body()
		if got := fmt.Sprint(length, blind, h.hasTwoLengths()); got != want {
			t.Errorf("%q: got %s, want %s", lines, got, want)
		}
	}
}

// TestLongHead: a head that is longer than what is remembered cannot be judged;
// then what has no length is refused.
func TestLongHead(t *testing.T) {
	g := newGateway(&home{})
	address, _ := newDoor(t, false, func(w http.ResponseWriter, r *http.Request) {
		if !g.Unclear(w, r) {
			io.Copy(w, r.Body)
		}
	})
	for length, want := range map[string]string{
		"Content-Length: 2\r\n\r\nhi":                            "200 hi",
		"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n": "400 " + TwoLengths.Say + "\n",
	} {
		nc, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		io.WriteString(nc, "POST / HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", maxHead)+"\r\n"+length)
		resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		if got := resp.Status[:4] + string(body); got != want || !resp.Close {
			t.Errorf("%q: got %q, closing %v, want %q", length, got, resp.Close, want)
		}
	}
}
