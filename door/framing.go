package door

import (
	"bytes"
	"iter"
	"net/http"
	"strconv"
	"strings"
)

// maxHead is how many bytes of a request's head are remembered. That is more
// than net/http accepts, which is http.Server.MaxHeaderBytes and 4 KiB.
const maxHead = 40 << 10

// A framing follows the requests of a connection. It knows where their heads
// begin and end.
type framing struct {
	judged head   // of the last request whose head is complete
	next   []byte // of the next request's head, so far
	body   uint64 // bytes of a body that come before the next head
	blind  bool   // where the next head begins is not known
}

// take returns how many of the bytes that a client has sent may be passed on.
// They end at most with a head or a body.
func (f *framing) take(p []byte) int {
	switch {
	case f.blind:
		return len(p)
	case f.body > 0:
		n := min(uint64(len(p)), f.body)
		f.body -= n
		return int(n)
	}
	before := len(f.next)
	f.next = append(f.next, p...)
	end := endOfHead(f.next, max(0, before-3))
	switch {
	case end < 0 && len(f.next) > maxHead:
		f.judged, f.next, f.blind = nil, nil, true
		return len(p)
	case end < 0:
		return len(p)
	}
	f.judged, f.next = head(f.next[:end]), nil
	f.body, f.blind = f.judged.body()
	return end - before
}

// endOfHead returns where the empty line that ends a head ends, or -1. The
// bytes before from were searched by an earlier call.
func endOfHead(p []byte, from int) int {
	for i := from; i < len(p); i++ {
		if p[i] != '\n' {
			continue
		}
		switch rest := p[i+1:]; {
		case bytes.HasPrefix(rest, []byte("\n")):
			return i + 2
		case bytes.HasPrefix(rest, []byte("\r\n")):
			return i + 3
		}
	}
	return -1
}

// A head is a request line and headers as the client wrote them. It may be
// empty.
type head []byte

// lines returns the names and values of the headers.
func (h head) lines() iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		for line := range bytes.Lines(h) {
			if name, value, ok := strings.Cut(string(line), ":"); ok && !yield(name, value) {
				return
			}
		}
	}
}

// body returns the length of the request's body. blind is true if the length is
// not known before the body ends, or if net/http may see another length.
func (h head) body() (length uint64, blind bool) {
	folded := bytes.Contains(h, []byte("\n ")) || bytes.Contains(h, []byte("\n\t"))
	known := ""
	for name, value := range h.lines() {
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "transfer-encoding":
			return 0, true
		case "content-length":
			value = strings.Trim(value, " \t\r\n")
			n, err := strconv.ParseUint(value, 10, 63)
			if err != nil || folded || known != "" && known != value {
				return 0, true
			}
			length, known = n, value
		}
	}
	return length, false
}

// hasTwoLengths reports whether there is a Content-Length as well as a
// Transfer-Encoding. "A server MAY reject a request that contains both […].
// Regardless, the server MUST close the connection after responding to such a
// request". https://www.rfc-editor.org/rfc/rfc9112#section-6.1
func (h head) hasTwoLengths() bool {
	length, encoding := false, false
	for name := range h.lines() {
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "transfer-encoding":
			encoding = true
		case "content-length":
			length = true
		}
	}
	return length && encoding
}

// Unclear refuses a request whose end is ambiguous, and then returns true. If
// the beginning of the next request cannot be known, it makes this request the
// last of its connection.
func (d *Door) Unclear(w http.ResponseWriter, r *http.Request) bool {
	c := doorOf(r)
	if c == nil || !c.framing.blind {
		return false
	}
	w.Header().Set("Connection", "close")
	judged := c.framing.judged
	unclear := judged.hasTwoLengths() || judged == nil && len(r.TransferEncoding) > 0
	if unclear {
		d.refuse(w, r, TwoLengths)
	}
	return unclear
}
