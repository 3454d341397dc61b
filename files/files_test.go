package files

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// served starts a server of a directory with some files in it.
func served(t *testing.T, watch bool) (dir string, s *httptest.Server) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "game")
	for name, text := range map[string]string{
		"index.html": "<!doctype html><body>the game</body>", "game.js": "1", "a/index.html": "a", "a/b.css": "b", "empty/x.txt": "x",
		".env": "secret", ".git/config": "secret", "a/.hidden/x.html": "secret", "ä ö.html": "umlauts", "../outside.html": "secret", "LICENSE": "plain text",
	} {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		write(t, name, text)
	}
	for link, to := range map[string]string{"out.html": "../outside.html", "up": "..", "root": "/", "in.js": "game.js"} {
		if err := os.Symlink(filepath.FromSlash(to), filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	f, err := Open(Config{Dir: dir, Watch: watch, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if found := f.Find(r); found != nil {
			found.ServeHTTP(w, r)
			return
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(func() {
		f.Dismiss()
		s.Close()
		f.Close()
	})
	return dir, s
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

// get asks for exactly that path, however strange, and follows nothing.
func get(t *testing.T, s *httptest.Server, path string, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.URL.Opaque = path
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func TestFiles(t *testing.T) {
	_, s := served(t, false)
	for path, want := range map[string]struct{ kind, body string }{
		"/":                     {"text/html; charset=utf-8", "<!doctype html><body>the game</body>"},
		"/?seat=2":              {"text/html; charset=utf-8", "<!doctype html><body>the game</body>"},
		"/index.html":           {"text/html; charset=utf-8", "<!doctype html><body>the game</body>"},
		"/game.js":              {"text/javascript; charset=utf-8", "1"},
		"/in.js":                {"text/javascript; charset=utf-8", "1"},
		"/a/":                   {"text/html; charset=utf-8", "a"},
		"/a/b.css":              {"text/css; charset=utf-8", "b"},
		"/%C3%A4%20%C3%B6.html": {"text/html; charset=utf-8", "umlauts"},
		"/LICENSE":              {"text/plain; charset=utf-8", "plain text"},
	} {
		resp, body := get(t, s, path)
		if resp.StatusCode != 200 || body != want.body || resp.Header.Get("Content-Type") != want.kind {
			t.Errorf("%s: %s, %q, %q", path, resp.Status, resp.Header.Get("Content-Type"), body)
		}
		tag := resp.Header.Get("ETag")
		if again, _ := get(t, s, path, "If-None-Match: "+tag); tag == "" || again.StatusCode != 304 {
			t.Errorf("%s with its ETag %s: %s", path, tag, again.Status)
		}
	}
	if resp, _ := get(t, s, "/a?x=1"); resp.StatusCode != 301 || resp.Header.Get("Location") != "./a/?x=1" {
		t.Errorf("a directory: %s, %q", resp.Status, resp.Header.Get("Location"))
	}
	if resp, body := get(t, s, "/game.js", "Range: bytes=0-0"); resp.StatusCode != 206 || body != "1" {
		t.Errorf("a range: %s, %q", resp.Status, body)
	}
}

// TestNothingElse: what is no business of others is not served.
func TestNothingElse(t *testing.T) {
	dir, s := served(t, false)
	pipe(t, filepath.Join(dir, "pipe.html"))
	for _, path := range []string{
		"/.env", "/.git/config", "/a/.hidden/x.html", "/%2eenv", "/a/%2e%2e/.env", "/./.env", "/game.js/", "/empty/", "/empty", "/nothing.html", "//index.html", "/a//b.css", "/a/./b.css",
		"/out.html", "/up/outside.html", "/root/etc/passwd", "/../outside.html", "/a/../../outside.html", "/%2e%2e/outside.html", "/..%2foutside.html", "/..%5coutside.html",
		"/a%00.html", "/index.html%00", "/C:/Windows/win.ini", "/index.html::$DATA", "/" + strings.Repeat("a", 5000), "/pipe.html", "/game.js/x", reloadPath,
	} {
		if resp, body := get(t, s, path); resp.StatusCode != 404 || strings.Contains(body, "secret") {
			t.Errorf("%s: %s, %q", path, resp.Status, body)
		}
	}
	if resp, err := http.Post(s.URL+"/", "text/plain", strings.NewReader("x")); err != nil || resp.StatusCode != 404 {
		t.Errorf("a POST: %v, %v", resp, err)
	}
	if resp, _ := get(t, s, "/", "Upgrade: websocket"); resp.StatusCode != 404 {
		t.Errorf("a WebSocket: %s", resp.Status)
	}
}

func TestHides(t *testing.T) {
	dir, _ := served(t, false)
	f, err := Open(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if pages := f.Pages(); strings.Join(pages, " ") != "/" {
		t.Error(pages)
	}
	if err := os.Remove(filepath.Join(dir, "index.html")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".hidden", "ä b", "empty", "node"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o777); err != nil {
			t.Fatal(err)
		}
		if name != "empty" {
			write(t, filepath.Join(dir, name, "index.html"), "x")
		}
	}
	if pages := f.Pages(); strings.Join(pages, " ") != "/a/ /node/ /%C3%A4%20b/" {
		t.Error(pages)
	}
	if hidden := f.Hides([]string{"/", "/a", "/chat", "/game.js"}); strings.Join(hidden, " ") != "/a /game.js" {
		t.Error(hidden)
	}
	if _, err := Open(Config{Dir: filepath.Join(dir, "none")}); err == nil {
		t.Error("a directory that is none is opened")
	}
	if _, err := Open(Config{Dir: filepath.Join(dir, "game.js")}); err == nil {
		t.Error("a file is opened")
	}
}

func TestPublishes(t *testing.T) {
	dir, _ := served(t, false)
	f, err := Open(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for name, want := range map[string]bool{
		".": true, "game.js": true, "a": true, "a/none": true, "data": true, ".env": false, ".git/config": false, ".data": false,
		"..": false, "../outside.html": false, "../data": false, "../game-data": false, "in.js": true, "out.html": false,
	} {
		if got := f.Publishes(filepath.Join(dir, filepath.FromSlash(name))); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if !f.Publishes(filepath.Join(link, "data", "log")) {
		t.Error("a link hides what is not there yet")
	}
	t.Chdir(dir)
	if !f.Publishes("key") || f.Publishes("../key") {
		t.Error("a relative path is understood in another way")
	}
}

// listen asks for the next change, as a page that has seen one.
func listen(t *testing.T, s *httptest.Server, seen string) *bufio.Scanner {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	r, err := http.NewRequestWithContext(ctx, "GET", s.URL+reloadPath, nil)
	if err != nil {
		t.Fatal(err)
	}
	if seen != "" {
		r.Header.Set("Last-Event-ID", seen)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatal(resp, err)
	}
	t.Cleanup(func() { cancel(); resp.Body.Close() })
	return bufio.NewScanner(resp.Body)
}

// next returns the next line that begins so.
func next(t *testing.T, lines *bufio.Scanner, begin string) string {
	t.Helper()
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), begin); ok {
			return rest
		}
	}
	t.Fatalf("no line begins with %q: %v", begin, lines.Err())
	return ""
}

// parts returns a page without the script at its end, the version that the script
// says, and the script.
func parts(t *testing.T, s *httptest.Server, path string) (before, seen, script string) {
	t.Helper()
	_, body := get(t, s, path)
	begin, end, _ := strings.Cut(listener, "%q")
	before, rest, ok := strings.Cut(body, begin)
	quoted, _, ok2 := strings.Cut(rest, end)
	seen, ok3 := strings.CutPrefix(strings.Trim(quoted, `"`), reloadPath+"?seen=")
	if !ok || !ok2 || !ok3 {
		t.Fatalf("%s has no script: %q", path, body)
	}
	return before, seen, begin + rest
}

// TestReload: a page hears of changes, also in new directories, and also of those
// that happened while it was not listening.
func TestReload(t *testing.T) {
	dir, s := served(t, true)
	_, _, script := parts(t, s, "/a/")
	resp, body := get(t, s, "/")
	if want := "<!doctype html><body>the game" + script + "</body>"; body != want || resp.Header.Get("ETag") != "" {
		t.Errorf("the page is %q", body)
	}
	if before, seen, _ := parts(t, s, "/a/"); before != "a" || seen == "" {
		t.Errorf("without a body it is %q, of version %q", before, seen)
	}
	if _, body := get(t, s, "/game.js"); body != "1" {
		t.Errorf("a script is %q", body)
	}
	_, loaded, _ := parts(t, s, "/a/")
	lines := listen(t, s, "")
	first := next(t, lines, "id: ")
	write(t, filepath.Join(dir, "game.js"), "2")
	second := next(t, lines, "id: ")
	if first == second {
		t.Error("a change is none")
	}
	next(t, lines, "data: ")
	next(t, listen(t, s, first), "data: ")
	resp, err := http.Get(s.URL + reloadPath + "?seen=" + loaded)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	next(t, bufio.NewScanner(resp.Body), "data: ")

	lines = listen(t, s, second)
	if err := os.MkdirAll(filepath.Join(dir, "new", "deep"), 0o777); err != nil {
		t.Fatal(err)
	}
	third := next(t, lines, "id: ")
	for third == second { // the one that it has seen
		third = next(t, lines, "id: ")
	}
	lines = listen(t, s, third)
	next(t, lines, "id: ")
	write(t, filepath.Join(dir, "new", "deep", "x.js"), "3")
	next(t, lines, "data: ")
}

// TestAnew: a build may remove the directory and make it anew, and a page that is
// asked for in the meantime says what is missing.
func TestAnew(t *testing.T) {
	dir, s := served(t, true)
	write(t, filepath.Join(dir, "..", "other.txt"), "x")
	expect := func(status int, what string) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			resp, body := get(t, s, "/")
			if resp.StatusCode == status && strings.Contains(body, what) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s, %q", resp.Status, body)
			}
		}
	}
	version := func() string { _, seen, _ := parts(t, s, "/"); return seen }
	awaits := func(seen string) string {
		t.Helper()
		lines := listen(t, s, seen)
		next(t, lines, "id: ")
		next(t, lines, "data: ")
		return version()
	}
	expect(200, "the game")
	full := version()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	expect(404, "no <code>index.html</code>")
	awaits(full)
	for _, text := range []string{"the second", "the third"} {
		if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o777)); err != nil {
			t.Fatal(err)
		}
		seen := version()
		write(t, filepath.Join(dir, "index.html"), text)
		expect(200, text)
		seen = awaits(seen)
		write(t, filepath.Join(dir, "index.html"), text+" game")
		awaits(seen)
	}
}

// TestLinkedDirectory: the directory may be a link.
func TestLinkedDirectory(t *testing.T) {
	dir, _ := served(t, false)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	f, err := Open(Config{Dir: link, Watch: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, changed := f.reload.now()
	write(t, filepath.Join(dir, "game.js"), "2")
	select {
	case <-changed:
	case <-time.After(10 * time.Second):
		t.Error("a change is none")
	}
}

// TestReloadAfterRestart: a page stays as it is if the files do.
func TestReloadAfterRestart(t *testing.T) {
	dir, _ := served(t, false)
	version := func() string {
		f, err := Open(Config{Dir: dir, Watch: true, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		now, _ := f.reload.now()
		return now
	}
	first := version()
	write(t, filepath.Join(dir, ".env"), "another secret")
	if again := version(); again != first {
		t.Errorf("the version is %s, and was %s", again, first)
	}
	write(t, filepath.Join(dir, "a", "b.css"), "other")
	if changed := version(); changed == first {
		t.Error("a change is none")
	}
}

// TestNewDirectories: those that come are watched, if the others of their name are.
func TestNewDirectories(t *testing.T) {
	dir, _ := served(t, false)
	f, err := Open(Config{Dir: dir, Watch: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, name := range []string{"node_modules", ".cache", "last"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		list := strings.Join(f.reload.files.WatchList(), " ")
		if strings.Contains(list, "last") {
			if strings.Contains(list, "node_modules") || strings.Contains(list, ".cache") {
				t.Errorf("watched are %s", list)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("watched are only %s", list)
		}
	}
}

// TestReloadEnds: pages that listen do not hold a server up.
func TestReloadEnds(t *testing.T) {
	dir, _ := served(t, false)
	f, err := Open(Config{Dir: dir, Watch: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan struct{})
	go func() {
		f.reload.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", reloadPath, nil))
		close(answered)
	}()
	f.Close()
	select {
	case <-answered:
	case <-time.After(10 * time.Second):
		t.Error("a page still listens")
	}
	f.Close()
}

func FuzzName(f *testing.F) {
	for _, p := range []string{"/", "/a/b", "/.a", "/a/", "//", "/a\\b"} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p string) {
		name, ok := nameOf(p)
		if !ok || name == "." {
			return
		}
		if !filepath.IsLocal(filepath.FromSlash(name)) || strings.HasPrefix(name, ".") || strings.Contains(name, "/.") {
			t.Errorf("%q leads to %q", p, name)
		}
	})
}
