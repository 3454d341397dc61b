// Package files serves a directory of pages of one's own.
//
//	GET /             index.html
//	GET /a/game.js    a/game.js
//	GET /a            leads to /a/, if that is a directory
//	GET /crier.reload tells pages that something has changed, if that is watched
//
// The directory is opened by its name for each request: a build may remove it and
// make it anew.
//
// A name that begins with a dot is never served, nor is anything below such a
// directory. Nothing outside of the directory is served, whatever a path or a
// symbolic link says: see [os.Root]. There are no lists of files.
//
// # What it does not do
//
// It opens no connection, knows no app, and checks no key: pages are for
// everybody who can reach the server.
package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A Config says what to serve.
type Config struct {
	Dir   string
	Watch bool // pages load themselves again when something changes
	Log   *slog.Logger
}

// Files is a directory that is served. Close must be called.
type Files struct {
	dir    string  // absolute
	reload *reload // nil if nobody watches
}

// Open opens the directory.
func Open(c Config) (*Files, error) {
	root, err := os.OpenRoot(c.Dir) // what is wrong with it shows now
	if err != nil {
		return nil, err
	}
	root.Close()
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return nil, err
	}
	f := &Files{dir: dir}
	if c.Watch {
		if f.reload, err = newReload(dir, c.Log); err != nil {
			return nil, fmt.Errorf("watch %s: %w", c.Dir, err)
		}
	}
	return f, nil
}

// Dismiss ends the requests of pages that listen to changes, so that a server can
// end.
func (f *Files) Dismiss() {
	if f.reload != nil {
		f.reload.end()
	}
}

// Close ends the watching. Nothing is served any more.
func (f *Files) Close() {
	f.Dismiss()
	if f.reload != nil {
		f.reload.done.Wait()
	}
}

// stat describes what has that name in the directory.
func (f *Files) stat(name string) (fs.FileInfo, error) {
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.Stat(name)
}

// has reports whether there is a file of that name.
func (f *Files) has(name string) bool {
	info, err := f.stat(name)
	return err == nil && info.Mode().IsRegular()
}

// Pages returns the paths of pages: /, if there is one, or else those of the
// directories right below that have one, in the order of their names.
func (f *Files) Pages() (paths []string) {
	if f.has(index) {
		return []string{"/"}
	}
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		path := "/" + e.Name() + "/"
		if name, ok := nameOf(path); ok && f.has(name+"/"+index) {
			paths = append(paths, (&url.URL{Path: path}).EscapedPath())
		}
	}
	return paths
}

// Hides returns those of the paths of a server that the directory has, too: what
// it has there cannot be reached.
func (f *Files) Hides(paths []string) (hidden []string) {
	for _, p := range paths {
		name := strings.Trim(p, "/")
		if _, err := f.stat(name); name != "" && err == nil {
			hidden = append(hidden, p)
		}
	}
	return hidden
}

// Publishes reports whether everybody can read the file at a path, or what a
// directory there has, because it is in the directory that is served. It need not
// be there yet.
func (f *Files) Publishes(path string) bool {
	name, err := filepath.Rel(resolved(f.dir), resolved(path))
	if err != nil || !filepath.IsLocal(name) {
		return false
	}
	_, ok := nameOf("/" + filepath.ToSlash(name))
	return ok || name == "."
}

// resolved returns a path without links, as far as it leads to something.
func resolved(path string) string {
	if absolute, err := filepath.Abs(path); err == nil {
		path = absolute
	}
	real, err := filepath.EvalSymlinks(path)
	if above := filepath.Dir(path); err != nil && above != path {
		return filepath.Join(resolved(above), filepath.Base(path))
	}
	return real
}

// Find returns what answers a request, or nil if there is no such file.
func (f *Files) Find(r *http.Request) http.Handler {
	if r.Method != http.MethodGet && r.Method != http.MethodHead || r.Header.Get("Upgrade") != "" {
		return nil
	}
	if f.reload != nil && r.URL.Path == reloadPath {
		return f.reload
	}
	name, ok := nameOf(r.URL.Path)
	if !ok {
		return nil
	}
	if strings.HasSuffix(r.URL.Path, "/") {
		switch page := path.Join(name, index); {
		case f.has(page):
			return &file{f, page}
		case name == ".":
			return nothing{f}
		}
		return nil
	}
	switch info, err := f.stat(name); {
	case err != nil:
		return nil
	case info.Mode().IsRegular():
		return &file{f, name}
	case info.IsDir() && f.has(path.Join(name, index)):
		return slash{}
	}
	return nil
}

// index is what is served for a directory.
const index = "index.html"

// nameOf returns the name of a file that a path may lead to. A path that is not
// clean leads nowhere: links in a page would lead elsewhere than its author sees.
func nameOf(p string) (name string, ok bool) {
	if !strings.HasPrefix(p, "/") || strings.ContainsAny(p, "\x00\\:") || runtime.GOOS == "windows" && strings.Contains(p, "~") { // where GIT~1 is .git
		return "", false
	}
	if p == "/" {
		return ".", true
	}
	name = strings.TrimSuffix(p[1:], "/")
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || strings.HasPrefix(part, ".") {
			return "", false
		}
	}
	return name, true
}

// A slash leads to the same path with a slash after it, so that the links of an
// index.html start from its own directory.
type slash struct{}

// ServeHTTP implements http.Handler. The address is relative, because a proxy may
// serve all this below a path of its own.
func (slash) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	to := path.Base(r.URL.EscapedPath()) + "/"
	if r.URL.RawQuery != "" {
		to += "?" + r.URL.RawQuery
	}
	w.Header().Set("Location", "./"+to)
	w.WriteHeader(http.StatusMovedPermanently)
}

const noPage = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>No page yet</title>
<style>body { font: 18px/1.6 system-ui, sans-serif; max-width: 34rem; margin: 15vh auto; padding: 0 1.5rem; }</style>
<h1>No page yet</h1>
<p>There is no <code>index.html</code> in the directory that crier serves here (<code>--files</code>).</p>
`

// A nothing is what is at / if there is no page.
type nothing struct{ files *Files }

// ServeHTTP implements http.Handler. What it says is for whoever makes the page.
func (n nothing) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNotFound)
	page := noPage
	if n.files.reload != nil {
		page += "<p>As soon as there is one, you will see it.</p>\n" + n.files.reload.script()
	}
	io.WriteString(w, page)
}

// A file is one that was found.
type file struct {
	files *Files
	name  string
}

// ServeHTTP implements http.Handler.
func (f *file) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var listen string
	if f.files.reload != nil {
		listen = f.files.reload.script() // before the file is read, which may change
	}
	in, info, err := f.open()
	if err != nil {
		http.Error(w, "this file cannot be read", http.StatusNotFound)
		return
	}
	defer in.Close()
	h := w.Header()
	h.Set("Cache-Control", "no-cache") // ask whether it is still the same
	h.Set("X-Content-Type-Options", "nosniff")
	if kind := kindOf(f.name); kind != "" {
		h.Set("Content-Type", kind)
	}
	if listen != "" && strings.HasPrefix(h.Get("Content-Type"), "text/html") {
		serveWith(listen, w, r, in)
		return
	}
	h.Set("ETag", `"`+strconv.FormatInt(info.Size(), 36)+"-"+strconv.FormatInt(info.ModTime().UnixNano(), 36)+`"`)
	http.ServeContent(w, r, "", info.ModTime().Truncate(time.Second), in)
}

// open opens the file. It does not wait for what opens slowly, such as a pipe that
// has just taken its place.
func (f *file) open() (*os.File, fs.FileInfo, error) {
	root, err := os.OpenRoot(f.files.dir)
	if err != nil {
		return nil, nil, err
	}
	defer root.Close()
	in, err := root.OpenFile(f.name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := in.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is no file")
	}
	if err != nil {
		in.Close()
		return nil, nil, err
	}
	return in, info, nil
}

// kinds are those that must not depend on what a machine happens to know.
var kinds = map[string]string{
	".html":        "text/html; charset=utf-8",
	".htm":         "text/html; charset=utf-8",
	".css":         "text/css; charset=utf-8",
	".js":          "text/javascript; charset=utf-8",
	".mjs":         "text/javascript; charset=utf-8",
	".json":        "application/json",
	".map":         "application/json",
	".webmanifest": "application/manifest+json",
	".txt":         "text/plain; charset=utf-8",
	".md":          "text/markdown; charset=utf-8",
	".svg":         "image/svg+xml",
	".png":         "image/png",
	".jpg":         "image/jpeg",
	".jpeg":        "image/jpeg",
	".gif":         "image/gif",
	".webp":        "image/webp",
	".avif":        "image/avif",
	".ico":         "image/x-icon",
	".wasm":        "application/wasm",
	".woff2":       "font/woff2",
	".woff":        "font/woff",
	".ttf":         "font/ttf",
	".mp3":         "audio/mpeg",
	".ogg":         "audio/ogg",
	".wav":         "audio/wav",
	".mp4":         "video/mp4",
	".webm":        "video/webm",
	".data":        "application/octet-stream", // of games by Unity and Godot
	".pck":         "application/octet-stream",
}

// kindOf returns the Content-Type of a file; nothing if its content must tell.
func kindOf(name string) string {
	extension := strings.ToLower(path.Ext(name))
	if kind, ok := kinds[extension]; ok {
		return kind
	}
	return mime.TypeByExtension(extension)
}
