package door

import (
	"net/http"
	"time"
)

// tellEvery is how often refused pages are logged at most. They are logged
// because browsers do not tell their users why a connection failed.
const tellEvery = time.Minute

func (d *Door) tellOfPage(r *http.Request) {
	now := time.Now().UnixNano()
	last := d.told.Load()
	if now-last < int64(tellEvery) || !d.told.CompareAndSwap(last, now) {
		return
	}
	hint := "--allow-origin lets it in"
	if r.Header.Get("Origin") == "null" {
		hint = "it was opened from a file: open it from a web server, such as python3 -m http.server"
	}
	d.config.Log.Warn("refused a page", "origin", r.Header.Get("Origin"), "host", r.Host, "hint", hint)
}
