package door

import (
	"net/http"
	"time"

	"crier/trust"
)

// refusePage refuses a handshake of a page that is not at home here.
func (d *Door) refusePage(w http.ResponseWriter, r *http.Request) {
	d.tellOfPage(r)
	no := ForeignOrigin
	if trust.FromFile(r) {
		no = no.Saying("pages from files may not connect; crier serve --files DIR serves them, and --allow-origin null permits it." + noPage(r))
	}
	d.refuse(w, r, no)
}

// noPage is advice for a program that says it is a page from a file. Browsers do
// not say it in this way.
func noPage(r *http.Request) string {
	if r.Header.Get("Origin") == "null" {
		return ""
	}
	return ` A program should send no Origin: with Arduino's library WebSockets, call setExtraHeaders("") before begin`
}

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
	if trust.FromFile(r) {
		hint = "it was opened from a file: crier serve --files DIR serves it, and --allow-origin null lets it in." + noPage(r)
	}
	d.config.Log.Warn("refused a page", "origin", r.Header.Get("Origin"), "host", r.Host, "hint", hint)
}
