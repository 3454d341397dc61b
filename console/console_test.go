package console

import (
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

const browserAccepts = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"

// get asks a console; nil means that the request is not for it.
func get(c *Console, request string, headers ...string) *http.Response {
	method, target, _ := strings.Cut(request, " ")
	r := httptest.NewRequest(method, target, nil)
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	h := c.Find(r)
	if h == nil {
		return nil
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

// TestMoved: who looks for the page where it is not is led to it.
func TestMoved(t *testing.T) {
	for _, c := range []struct{ at, request, want string }{
		{"/", "GET /console", "./"},
		{"/", "GET /console/?app=live", "../?app=live"},
		{"/console", "GET /console/?app=live", "../console?app=live"},
		{"/console", "GET /console", ""},
		{"/console", "POST /console/", ""},
		{"", "GET /console/", ""},
	} {
		got := ""
		if resp := get(New(c.at), c.request); resp != nil && resp.StatusCode == http.StatusTemporaryRedirect {
			got = resp.Header.Get("Location")
		}
		if got != c.want {
			t.Errorf("with the page at %s, %s leads to %q, want %q", c.at, c.request, got, c.want)
		}
	}
}

// TestWhoGetsThePage: browsers that look at /, and nobody else.
func TestWhoGetsThePage(t *testing.T) {
	c := New("/")
	for _, x := range []struct {
		request string
		headers []string
		page    bool
	}{
		{"GET /", []string{"Accept: " + browserAccepts}, true},
		{"HEAD /", []string{"Accept: " + browserAccepts}, true},
		{"GET /?topic=a", []string{"Accept: " + browserAccepts}, true},
		{"GET /", []string{"Accept: text/html"}, true},
		{"GET /", []string{"Accept: text/plain;q=0.5, TEXT/HTML"}, true},
		{"GET /", []string{"Accept: text/plain", "Accept: text/html"}, true},
		{"GET /", nil, false},
		{"GET /", []string{"Accept: */*"}, false}, // curl
		{"GET /", []string{"Accept: text/*"}, false},
		{"GET /", []string{"Accept: text/plain, text/html;q=0.9"}, false},
		{"GET /", []string{"Accept: text/html;q=0"}, false},
		{"GET /", []string{"Accept: /;;=,"}, false},
		{"GET /", []string{"Accept: " + browserAccepts, "Upgrade: websocket"}, false},
		{"GET /", []string{"Accept: " + browserAccepts, "Upgrade: h2c"}, false},
		{"POST /", []string{"Accept: " + browserAccepts}, false},
		{"GET /chat", []string{"Accept: " + browserAccepts}, false},
		{"GET /console/index.html", []string{"Accept: " + browserAccepts}, false},
	} {
		if got := get(c, x.request, x.headers...); (got != nil) != x.page {
			t.Errorf("%s with %q: page is %v, want %v", x.request, x.headers, got != nil, x.page)
		}
	}
}

// TestEveryFile: each is served with its kind, what it may do, and a tag by which it need not be sent twice.
func TestEveryFile(t *testing.T) {
	c := New("/")
	for path := range c.files {
		resp := get(c, "GET "+path, "Accept: "+browserAccepts)
		h := resp.Header
		if resp.StatusCode != 200 || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Content-Security-Policy") != policy || h.Get("Content-Type") == "" {
			t.Errorf("%s: %s %v", path, resp.Status, h)
		}
		if open := h.Get("Access-Control-Allow-Origin") == "*"; open != strings.HasPrefix(path, "/crier.") {
			t.Errorf("%s: other pages may load it: %v", path, open)
		}
		again := get(c, "GET "+path, "Accept: "+browserAccepts, "If-None-Match: "+h.Get("ETag"))
		if body, _ := io.ReadAll(again.Body); again.StatusCode != http.StatusNotModified || len(body) > 0 {
			t.Errorf("%s, for who has it: %s", path, again.Status)
		}
		if old := get(c, "GET "+path, "Accept: "+browserAccepts, `If-None-Match: "old"`); old.StatusCode != 200 {
			t.Errorf("%s, for who has an old one: %s", path, old.Status)
		}
	}
}

// TestFilesAreToBeRead: who does anything else with them is told; at / it is for the apps to say.
func TestFilesAreToBeRead(t *testing.T) {
	c := New("/")
	for _, request := range []string{"POST /crier.js", "OPTIONS /crier.d.ts", "DELETE /console/seat.js"} {
		if resp := get(c, request); resp == nil || resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %v", request, resp)
		}
	}
	if get(c, "POST /") != nil {
		t.Error("POST / is answered")
	}
}

// TestOff: without the page there is still crier.js.
func TestOff(t *testing.T) {
	c := New("")
	for path := range New("/").files {
		got := get(c, "GET "+path, "Accept: "+browserAccepts)
		if want := strings.HasPrefix(path, "/crier."); (got != nil) != want {
			t.Errorf("%s is served: %v", path, got != nil)
		}
	}
}

// TestNothingIsLeftOut: every file of the page is served, and everything that a file names is there.
func TestNothingIsLeftOut(t *testing.T) {
	c := New("/")
	entries, err := fs.ReadDir(embedded, "page")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if _, ok := c.files["/console/"+e.Name()]; !ok && e.Name() != "index.html" {
			t.Errorf("page/%s is not served", e.Name())
		}
	}
	named := regexp.MustCompile(`(?:src|href|from) ?[= ]"([a-z./]+)"`)
	for path, f := range c.files {
		base := path[:strings.LastIndex(path, "/")+1]
		for _, match := range named.FindAllSubmatch(f.body, -1) {
			at := httptest.NewRequest("GET", base, nil).URL.JoinPath(string(match[1])).Path
			if _, ok := c.files[at]; !ok && path != "/crier.js" {
				t.Errorf("%s names %s, which is not served", path, match[1])
			}
		}
	}
}

// TestNothingInline: the policy would forbid it in the browser, and nobody might notice.
func TestNothingInline(t *testing.T) {
	page := string(New("/").files["/"].body)
	for _, bad := range []string{`<script>`, `<style`, ` style=`, ` onclick=`, `javascript:`, `http://`, `https://`} {
		if strings.Contains(page, bad) {
			t.Errorf("index.html has %s", bad)
		}
	}
}

// TestClientIsSmall: crier.js has at most 5 KiB, compressed.
func TestClientIsSmall(t *testing.T) {
	var small bytes.Buffer
	w := gzip.NewWriter(&small)
	w.Write(New("").files["/crier.js"].body)
	w.Close()
	if small.Len() > 5<<10 {
		t.Errorf("crier.js has %d bytes, compressed", small.Len())
	}
}
