// Package trust decides where a request comes from: a program of this machine,
// a proxy that forwards it for another client, or a page in a browser.
//
// # Programs
//
// A loopback address does not prove that a program of this machine sent the
// request for itself. A reverse proxy on this machine forwards requests of the
// whole world, and a browser sends those of every page that it shows.
// [FromElsewhere] and [FromPage] recognize both by what they add to a request.
// A page cannot remove what its browser adds.
//
// # Pages
//
// Browsers let any page open a WebSocket to any address, and tell the server
// the page's origin. It proves nothing if the origin is the name in the header
// Host, because the owner of a name can let it point to any address, including
// this machine's (DNS rebinding). [Pages.AtHome] has the rules.
//
// # What it does not do
//
// It checks no keys. It cannot recognize a proxy that adds nothing to requests,
// such as socat. Only a key keeps the clients of such a proxy out.
package trust

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// FromElsewhere returns why a request does not come directly from a program of
// this machine. It returns "" if it does, or if a page of a browser on this
// machine sent it: see FromPage.
func FromElsewhere(r *http.Request) string {
	peer, _, err := net.SplitHostPort(r.RemoteAddr)
	switch {
	case err != nil || !isLoopback(peer):
		return "it does not come from this machine"
	case !isLoopback(hostname(r.Host)):
		return "it is for the host " + quoted(r.Host) + ", not for localhost"
	case !r.ProtoAtLeast(1, 1): // as nginx did by default before version 1.29.7
		return "it is an HTTP/1.0 request, as some proxies send them"
	}
	if name := proxyHeader(r.Header); name != "" {
		return "it came through a proxy: it has the header " + name
	}
	return ""
}

// FromPage returns why a request seems to come from a page in a browser. It
// returns "" if it comes from no page, or from one that this server itself has
// served, provided that FromElsewhere returns "", too. secure says that the
// request came over TLS.
func FromPage(r *http.Request, secure bool) string {
	own := "http://" + r.Host
	if secure {
		own = "https://" + r.Host
	}
	for _, origin := range r.Header["Origin"] {
		if !strings.EqualFold(origin, own) || !isLoopback(hostname(r.Host)) {
			return "it comes from a page of " + quoted(origin)
		}
	}
	// "same-site" is a page of another port, which another program serves.
	// https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header
	for _, site := range r.Header["Sec-Fetch-Site"] {
		if site != "same-origin" && site != "none" {
			return "it comes from a page: it has the header Sec-Fetch-Site: " + quoted(site)
		}
	}
	return ""
}

// proxyHeader returns the name of a header that proxies add to requests to name the
// client, or "" if there is none. The value of the header does not matter,
// because the proxy's clients choose it.
func proxyHeader(h http.Header) (name string) {
	for header := range h {
		if addedByProxies(header) && (name == "" || header < name) {
			name = header
		}
	}
	return name
}

// addedByProxies matches generously. A program of this machine that sends such
// a header for no reason needs a key; nothing worse happens.
func addedByProxies(header string) bool {
	// Some servers take X_Forwarded_For for X-Forwarded-For.
	header = strings.ReplaceAll(strings.ToLower(header), "_", "-")
	contains := func(part string) bool { return strings.Contains(header, part) }
	begins := func(prefix string) bool { return strings.HasPrefix(header, prefix) }
	return slices.Contains(proxyHeaders, header) || slices.ContainsFunc(proxyWords, contains) ||
		slices.ContainsFunc(proxyPrefixes, begins)
}

var (
	proxyHeaders = []string{
		"via", "max-forwards", "cdn-loop", // RFC 9110, sections 7.6.2 and 7.6.3; RFC 8586
		"x-host", "x-scheme", "x-url-scheme", "x-forward-for", "front-end-https", "x-rewrite-url",
		"x-amz-cf-id", "x-varnish", "surrogate-capability",
	}
	// Words in the names of headers such as Forwarded, X-Forwarded-For,
	// X-Real-IP, True-Client-IP, X-Azure-ClientIP and CF-Connecting-IP.
	proxyWords = []string{
		"forwarded", "real-ip", "realip", "client-ip", "clientip", "connecting-ip", "remote-ip",
		"remote-addr", "originating-ip", "user-ip", "client-connection-ip", "src-ip",
		"client-cert", "ssl-client",
	}
	// X-Original-For, -Proto and -Host are ASP.NET's and HAProxy's; X-ARR is
	// IIS.
	proxyPrefixes = []string{
		"x-original-", "x-proxy", "proxy-", "wl-proxy-", "x-arr-", "x-envoy-", "x-nginx-",
		"cf-", "cloudfront-", "fastly-", "akamai-", "x-akamai-", "x-azure-", "incap-",
		"x-appengine-", "fly-", "x-vercel-", "x-nf-", "tailscale-",
	}
)

// hostname returns the name in a Host header, without the port.
func hostname(host string) string {
	u := url.URL{Host: host}
	return u.Hostname()
}

// quoted returns what a client sent as part of a sentence: short and in ASCII.
func quoted(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
	return text[:min(len(text), 100)]
}
