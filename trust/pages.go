package trust

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"unicode"
)

// Pages decides which pages may connect.
type Pages struct {
	origins []string // the allowed ones, as browsers send them; * is all
	names   []string // of this server
}

// NewPages returns the rule for a server with these names, such as
// game.example.com. The origins are allowed as well; [CheckOrigin] must have
// accepted them.
func NewPages(names, origins []string) Pages {
	var p Pages
	for _, name := range names {
		p.names = append(p.names, plain(name))
	}
	for _, origin := range origins {
		p.origins = append(p.origins, serialized(origin))
	}
	return p
}

// AtHome reports whether a request comes from a page that may connect, or from
// a program, which sends no origin. secure says that the request came over TLS.
// A page may connect if
//
//   - its origin is allowed;
//   - its host is this machine by any name, such as localhost;
//   - its host is one of the server's names;
//   - its host is the address to which the request was sent: addresses need no
//     name server that could lie;
//   - its host is the name to which the request was sent, and the owner of that
//     name could not have lied: the connection is to a public address, which
//     anybody can reach anyway; or it is over TLS, where the browser has checked
//     the name; or it came through a proxy, which knows its own names. Pages
//     cannot add a proxy's headers to a WebSocket handshake.
func (p Pages) AtHome(r *http.Request, secure bool) bool {
	lines := r.Header["Origin"]
	switch {
	case len(lines) == 0 || len(lines) == 1 && lines[0] == "":
		return true
	case slices.Contains(p.origins, "*"):
		return true
	case len(lines) > 1:
		return false
	case slices.Contains(p.origins, serialized(lines[0])):
		return true
	}
	origin, err := url.Parse(lines[0])
	if err != nil || origin.Host == "" || origin.User != nil {
		return false
	}
	page, asked := plain(origin.Hostname()), plain(hostname(r.Host))
	switch {
	case isLoopback(page) || slices.Contains(p.names, page):
		return true
	case isAddress(page):
		return sameAddress(page, asked)
	}
	return page == asked && (secure || proxyHeader(r.Header) != "" || cameToPublic(r))
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

func sameAddress(a, b string) bool {
	x, _ := netip.ParseAddr(a)
	y, err := netip.ParseAddr(b)
	return err == nil && x.Unmap() == y.Unmap()
}

// cameToPublic reports whether the server's end of the connection has a public
// address.
func cameToPublic(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	at, err := netip.ParseAddrPort(local.String())
	return err == nil && Public(at.Addr())
}

// CheckOrigin returns an error if an origin cannot be allowed. It must be a
// scheme and a host, such as https://game.example.com, or * for all origins, or
// null or file:// for pages from files.
// https://html.spec.whatwg.org/multipage/browsers.html#origin
func CheckOrigin(origin string) error {
	if origin == "*" || origin == "null" || origin == fileOrigin {
		return nil
	}
	strange := func(r rune) bool { return r == '*' || r > unicode.MaxASCII }
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || u.Scheme == "ws" || u.Scheme == "wss" || strings.ContainsFunc(u.Host, strange) ||
		!strings.EqualFold(u.Scheme+"://"+u.Host, strings.TrimSuffix(origin, "/")) {
		return fmt.Errorf("%q is no origin of pages: want a scheme and a host, "+
			"such as https://game.example.com, or *", origin)
	}
	return nil
}

// fileOrigin is the origin of pages from files in some WebViews. Browsers say
// null. There are libraries for microcontrollers, too, that send it.
const fileOrigin = "file://"

// FromFile reports whether a request says that its page was opened from a file.
func FromFile(r *http.Request) bool {
	lines := r.Header["Origin"]
	return len(lines) == 1 && serialized(lines[0]) == "null"
}

// serialized returns an origin as browsers send it: in lower case, without a
// default port.
func serialized(origin string) string {
	if strings.EqualFold(origin, fileOrigin) {
		return "null"
	}
	origin = strings.ToLower(strings.TrimSuffix(origin, "/"))
	for scheme, port := range map[string]string{"http://": ":80", "https://": ":443"} {
		if strings.HasPrefix(origin, scheme) {
			origin = strings.TrimSuffix(origin, port)
		}
	}
	return origin
}
