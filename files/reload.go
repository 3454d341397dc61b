package files

import (
	"bytes"
	"cmp"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"crier/watch"
)

// reloadPath is where pages listen to changes.
const reloadPath = "/crier.reload"

// script is what a page gets in addition. The browser connects again by itself,
// and then says which change it has seen last.
const script = "\n<script>new EventSource(\"" + reloadPath + "\").onmessage = () => location.reload();</script>\n"

const (
	// listening is how long a page listens before it asks again. It is less than
	// a request may take.
	listening = 20 * time.Second
	// maxPage is up to how many bytes a page gets the script.
	maxPage = 8 << 20
	// maxDirectories is how many directories are watched.
	maxDirectories = 1000
)

// A reload tells pages that something has changed.
type reload struct {
	dir   string
	files *fsnotify.Watcher
	log   *slog.Logger
	done  sync.WaitGroup
	stop  chan struct{} // closed by end
	once  sync.Once     // of end

	mu      sync.Mutex
	version string        // of the files
	changed chan struct{} // closed with the next version
}

func newReload(dir string, log *slog.Logger) (*reload, error) {
	files, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	r := &reload{dir: dir, files: files, log: log, stop: make(chan struct{}), changed: make(chan struct{})}
	if err := r.add(dir); err != nil {
		files.Close()
		return nil, err
	}
	r.version = r.look()
	r.done.Go(r.run)
	return r, nil
}

// add watches a directory and those below it.
func (r *reload) add(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil || !entry.IsDir():
			return nil // it is gone already, or is watched with its directory
		case passed(entry.Name()) && path != r.dir:
			return fs.SkipDir
		case len(r.files.WatchList()) >= maxDirectories:
			r.log.Warn("there are too many directories; changes in the others are not noticed", "watched", maxDirectories)
			return fs.SkipAll
		}
		return r.files.Add(path)
	})
}

// passed reports whether what changes in a directory of that name does not matter.
func passed(name string) bool { return strings.HasPrefix(name, ".") || name == "node_modules" }

func (r *reload) run() {
	watch.Run(r.files, r.matters, func() {
		version := r.look()
		r.mu.Lock()
		defer r.mu.Unlock()
		if version == r.version {
			return // something came and went
		}
		r.version = version
		close(r.changed)
		r.changed = make(chan struct{})
	}, r.stop)
}

// look returns the version that the files have. It is the same after a restart if
// they are: then a page stays as it is, with what its user has typed.
func (r *reload) look() string {
	sum := fnv.New64a()
	directories := 0
	filepath.WalkDir(r.dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil || strings.HasPrefix(entry.Name(), ".") && path != r.dir && !entry.IsDir():
			return nil
		case entry.IsDir() && passed(entry.Name()) && path != r.dir:
			return fs.SkipDir
		case entry.IsDir():
			if directories++; directories > maxDirectories {
				return fs.SkipAll
			}
			fmt.Fprintln(sum, path)
			return nil
		}
		if info, err := entry.Info(); err == nil {
			fmt.Fprintln(sum, path, info.Size(), info.ModTime().UnixNano())
		}
		return nil
	})
	return strconv.FormatUint(sum.Sum64(), 36)
}

// matters reports whether an event is about what is served. It also watches new
// directories.
func (r *reload) matters(ev fsnotify.Event) bool {
	if ev.Has(fsnotify.Create) {
		r.add(ev.Name) // if it is a directory
	}
	return !ev.Has(fsnotify.Chmod) && !strings.HasPrefix(filepath.Base(ev.Name), ".")
}

func (r *reload) end() { r.once.Do(func() { close(r.stop) }) }

// now returns the version of the files, and what is closed with the next one.
func (r *reload) now() (version string, changed <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.version, r.changed
}

// ServeHTTP implements http.Handler: it tells a page of the next change.
// https://html.spec.whatwg.org/multipage/server-sent-events.html
func (r *reload) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	version, changed := r.now()
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	seen := cmp.Or(req.Header.Get("Last-Event-ID"), version)
	fmt.Fprintf(w, "retry: 300\nid: %s\n\n", version) // an event without data is none, but its id counts
	if seen == version {
		http.NewResponseController(w).Flush()
		enough := time.NewTimer(listening)
		defer enough.Stop()
		select {
		case <-changed:
			version, _ = r.now()
		case <-enough.C:
			return
		case <-req.Context().Done():
			return
		case <-r.stop:
			return
		}
	}
	fmt.Fprintf(w, "id: %s\ndata: changed\n\n", version)
}

// serve serves a page, with the script.
func (r *reload) serve(w http.ResponseWriter, req *http.Request, in io.Reader) {
	page, err := io.ReadAll(io.LimitReader(in, maxPage))
	if err != nil {
		http.Error(w, "this file cannot be read", http.StatusInternalServerError)
		return
	}
	if i := bytes.LastIndex(bytes.ToLower(page), []byte("</body>")); i >= 0 {
		page = bytes.Join([][]byte{page[:i], page[i:]}, []byte(script))
	} else {
		page = append(page, script...)
	}
	http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(page))
}
