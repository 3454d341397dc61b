package gateway

import (
	"net/http"
	"time"
)

// tellEvery is how often the log tells of pages that were refused, at most:
// browsers do not tell their users why.
const tellEvery = time.Minute

func (g *Gateway) tellOfPage(r *http.Request) {
	now := time.Now().UnixNano()
	last := g.told.Load()
	if now-last < int64(tellEvery) || !g.told.CompareAndSwap(last, now) {
		return
	}
	hint := "--allow-origin lets it in"
	if r.Header.Get("Origin") == "null" {
		hint = "it was opened from a file: open it from a web server, such as python3 -m http.server"
	}
	g.config.Log.Warn("refused a page", "origin", r.Header.Get("Origin"), "host", r.Host, "hint", hint)
}
