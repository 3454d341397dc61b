package files

import (
	"bytes"
	"cmp"
	"errors"
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

// listener is what a page gets in addition, with its version: it loads itself again
// when the files have another one. It does not while it is hidden, because a browser
// has only six connections to a server for all of its tabs; nor while there is no
// such page, because a build may be about to make it.
const listener = `
<script>
  {
    let changes;
    const listen = () => {
      changes?.close();
      if (document.hidden) return;
      changes = new EventSource(%q);
      changes.onmessage = async () => (await fetch(location, { method: "HEAD" })).ok && location.reload();
    };
    addEventListener("visibilitychange", listen);
    listen();
  }
</script>
`

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
	many  sync.Once     // of what look warns of

	mu      sync.Mutex    // of what follows
	version string        // of the files
	changed chan struct{} // closed with the next version
}

func newReload(dir string, log *slog.Logger) (*reload, error) {
	files, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	r := &reload{dir: dir, files: files, log: log, stop: make(chan struct{}), changed: make(chan struct{})}
	if r.version, err = r.look(); err != nil {
		files.Close()
		return nil, err
	}
	r.done.Go(r.run)
	return r, nil
}

// passed reports whether what changes in a directory of that name does not matter.
func passed(name string) bool { return strings.HasPrefix(name, ".") || name == "node_modules" }

func (r *reload) run() {
	watch.Run(r.files, r.dir, r.matters, func() {
		version, err := r.look()
		if err != nil {
			r.log.Warn("not all pages can be watched", "error", err)
		}
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

// look watches all directories, and returns the version that the files have. It is
// the same after a restart if they are: then a page stays as it is, with what its
// user has typed.
func (r *reload) look() (version string, err error) {
	root, err := filepath.EvalSymlinks(r.dir)
	if err != nil {
		return "none", err
	}
	sum := fnv.New64a()
	directories := 0
	var unwatched error
	filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch hidden := passed(entry.Name()) && path != root; {
		case err != nil:
			return nil // it is gone already
		case hidden && entry.IsDir():
			return fs.SkipDir
		case hidden:
			return nil
		}
		if entry.IsDir() {
			if directories++; directories > maxDirectories {
				r.many.Do(func() {
					r.log.Warn("there are too many directories; changes in the others are not noticed", "watched", maxDirectories)
				})
				return fs.SkipAll
			}
			fmt.Fprintln(sum, path)
			if err := r.files.Add(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				unwatched = err
			}
			return nil
		}
		if info, err := entry.Info(); err == nil {
			fmt.Fprintln(sum, path, info.Size(), info.ModTime().UnixNano())
		}
		return nil
	})
	return strconv.FormatUint(sum.Sum64(), 36), unwatched
}

// matters reports whether an event is about what is served.
func (r *reload) matters(ev fsnotify.Event) bool {
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
	seen := cmp.Or(req.Header.Get("Last-Event-ID"), req.URL.Query().Get("seen"), version)
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

// script returns the script for a page that is served now.
func (r *reload) script() string {
	version, _ := r.now()
	return fmt.Sprintf(listener, reloadPath+"?seen="+version)
}

// serveWith serves a page with a script.
func serveWith(script string, w http.ResponseWriter, req *http.Request, in io.Reader) {
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
