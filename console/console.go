// Package console is what a person sees: the page that a crier server shows to browsers, and crier.js, the client for
// pages of their own. Both are plain files that the program carries; nothing is built and nothing is fetched from elsewhere.
//
//	page/     the page at / or /console: index.html, and under /console/ what it needs
//	client/   crier.js and its types, served beside it; the same directory is an npm package
//
// The page uses what everybody can: WebSockets through crier.js, and the management API, with the admin key where that
// asks for one, and the key or token of a client. It is bound by a Content-Security-Policy that allows it nothing but its own files and its own server.
//
// # What it does not do
//
// It opens no connection, knows no app, and checks no key: the gateway does.
package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

//go:embed page client/crier.js client/crier.d.ts
var embedded embed.FS

// policy lets the page load its own files and talk to its own server, and nothing else: whatever it shows, no message
// of a stranger becomes code.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// A Console finds the page's files, and the client's.
type Console struct {
	files map[string]file   // by path
	moved map[string]string // to where the page is, from where it is not
}

// A file is one of them, ready to be served.
type file struct {
	kind   string // Content-Type
	tag    string // ETag
	body   []byte
	shared bool // pages of other origins may load it
}

// New returns a console with the page at a path, / or /console; with an empty
// path, there is nothing but crier.js.
func New(at string) *Console {
	c := &Console{files: map[string]file{
		"/crier.js":   load("client/crier.js", "text/javascript; charset=utf-8"),
		"/crier.d.ts": load("client/crier.d.ts", "text/plain; charset=utf-8"),
	}}
	for path, f := range c.files {
		f.shared = true
		c.files[path] = f
	}
	switch at {
	case "/":
		c.moved = map[string]string{"/console": "./", "/console/": "../"}
	case "/console":
		c.moved = map[string]string{"/console/": "../console"}
	}
	if at != "" {
		c.files[at] = load("page/index.html", "text/html; charset=utf-8")
		for _, name := range []string{"access.js", "apps.js", "bytes.js", "code.js", "console.js", "copy.js", "frames.js", "json.js",
			"lists.js", "log.js", "own.js", "place.js", "room.js", "rows.js", "save.js", "seat.js", "server.js", "session.js"} {
			c.files["/console/"+name] = load("page/"+name, "text/javascript; charset=utf-8")
		}
		c.files["/console/console.css"] = load("page/console.css", "text/css; charset=utf-8")
		c.files["/console/icon.svg"] = load("page/icon.svg", "image/svg+xml")
	}
	return c
}

func load(name, kind string) file {
	body, err := embedded.ReadFile(name)
	if err != nil {
		panic(err) // the compiler has put it there
	}
	return file{kind: kind, tag: fmt.Sprintf(`"%.16x"`, sha256.Sum256(body)), body: body}
}

// Find returns what answers a request, or nil if it is not for the console. At / it answers who would rather have a page
// than anything else: a WebSocket handshake, and curl, get what they got before there was a page.
func (c *Console) Find(r *http.Request) http.Handler {
	f, ok := c.files[r.URL.Path]
	if to := c.moved[r.URL.Path]; to != "" && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		return moved(to)
	}
	switch {
	case !ok:
		return nil
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
	case r.URL.Path == "/":
		return nil
	default:
		return http.HandlerFunc(notAllowed)
	}
	if r.URL.Path == "/" && (r.Header.Get("Upgrade") != "" || !wantsPage(r.Header)) {
		return nil
	}
	return f
}

// A moved is a path at which the page is not, but somebody may look for it: where it is, from there on. The address is
// relative, because a proxy may serve all this below a path of its own.
type moved string

// ServeHTTP implements http.Handler.
func (to moved) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	there := string(to)
	if r.URL.RawQuery != "" {
		there += "?" + r.URL.RawQuery
	}
	w.Header().Set("Location", there)
	w.WriteHeader(http.StatusTemporaryRedirect) // another start of the server may move it back
}

func notAllowed(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Allow", "GET, HEAD")
	http.Error(w, "this is a file: GET it", http.StatusMethodNotAllowed)
}

// ServeHTTP implements http.Handler.
func (f file) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("ETag", f.tag)
	h.Set("Cache-Control", "no-cache") // a new crier has new files: ask whether they are the same
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	if f.shared {
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	} else {
		h.Set("Vary", "Accept")
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.body))
}

// wantsPage reports whether a client names HTML among what it accepts, and likes plain text no better.
func wantsPage(h http.Header) bool {
	html, text := 0.0, 0.0
	for accepted := range strings.SplitSeq(strings.Join(h.Values("Accept"), ","), ",") {
		kind, parameters, err := mime.ParseMediaType(accepted)
		if err != nil {
			continue
		}
		quality := 1.0
		if q, err := strconv.ParseFloat(parameters["q"], 64); err == nil {
			quality = q
		}
		switch kind {
		case "text/html":
			html = quality
		case "text/plain":
			text = quality
		}
	}
	return html > 0 && html >= text
}
