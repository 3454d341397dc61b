package gateway

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
)

// CheckOrigin reports what is wrong with one of Config.AllowOrigins: it must be a scheme and a host, such as
// https://game.example.com, or * for all, or null for pages from files.
// https://html.spec.whatwg.org/multipage/browsers.html#origin
func CheckOrigin(origin string) error {
	u, err := url.Parse(origin)
	switch {
	case origin == "*" || origin == "null":
		return nil
	case err != nil || u.Host == "" || !strings.EqualFold(u.Scheme+"://"+u.Host, strings.TrimSuffix(origin, "/")),
		u.Scheme == "ws" || u.Scheme == "wss" || strings.ContainsFunc(u.Host, func(r rune) bool { return r == '*' || r > unicode.MaxASCII }):
		return fmt.Errorf("%q is no origin of pages: want a scheme and a host, such as https://game.example.com, or *", origin)
	}
	return nil
}

// serialized returns an origin as browsers send it: in small letters, without a default port.
func serialized(origin string) string {
	origin = strings.ToLower(strings.TrimSuffix(origin, "/"))
	for scheme, port := range map[string]string{"http://": ":80", "https://": ":443"} {
		if strings.HasPrefix(origin, scheme) {
			origin = strings.TrimSuffix(origin, port)
		}
	}
	return origin
}

// originAllowed keeps other people's pages out: browsers let any page open a WebSocket to anywhere, and say which it is.
func (g *Gateway) originAllowed(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true // not a browser
	}
	if slices.Contains(g.pages, "*") || slices.Contains(g.pages, serialized(origin)) {
		return true
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return false
	}
	return strings.EqualFold(u.Hostname(), hostname(r.Host)) || isLoopback(u.Hostname())
}

// tellEvery is how often the log tells of pages that were refused, at most: browsers do not tell their users why.
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

// fromLoopback reports whether the peer is on this machine and speaks for itself: not for a page whose host name was made to point
// here (DNS rebinding), nor for somebody behind a proxy. Proxies say for whom they speak, or, as nginx does unless it is told
// otherwise, speak HTTP/1.0.
func fromLoopback(r *http.Request) bool {
	peer, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil || !isLoopback(peer) || !isLoopback(hostname(r.Host)) || !r.ProtoAtLeast(1, 1) {
		return false
	}
	for _, name := range [...]string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"} {
		if r.Header.Get(name) != "" {
			return false
		}
	}
	return true
}

// hostname returns a Host header's name, without the port.
func hostname(host string) string {
	u := url.URL{Host: host}
	return u.Hostname()
}

// isLoopback reports whether a host name or address is this machine's own.
func isLoopback(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}
