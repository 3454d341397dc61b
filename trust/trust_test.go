package trust

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// received returns a request as a server gets it: from 127.0.0.1 to
// localhost:8080, unless the lines say otherwise. Peer and Local are the
// addresses of the connection.
func received(t *testing.T, lines ...string) *http.Request {
	t.Helper()
	host, peer, local, protocol := "localhost:8080", "127.0.0.1:1234", "127.0.0.1:8080", "HTTP/1.1"
	var head strings.Builder
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		switch name {
		case "Host":
			host = value
		case "Peer":
			peer = value
		case "Local":
			local = value
		case "Protocol":
			protocol = value
		default:
			head.WriteString(line + "\r\n")
		}
	}
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET / " + protocol + "\r\nHost: " + host + "\r\n" + head.String() + "\r\n")))
	if err != nil {
		t.Fatalf("%q: %v", lines, err)
	}
	r.RemoteAddr = peer
	at, err := net.ResolveTCPAddr("tcp", local)
	if err != nil {
		t.Fatal(err)
	}
	return r.WithContext(context.WithValue(context.Background(), http.LocalAddrContextKey, at))
}

func TestFromElsewhere(t *testing.T) {
	for _, c := range []struct {
		line string
		want string // a part of the reason; "": it is from here
	}{
		{"X-Other: header", ""},
		{"Peer: [::1]:5", ""},
		{"Peer: [::ffff:127.0.0.1]:5", ""},
		{"Peer: 127.8.9.1:5", ""},
		{"Host: 127.0.0.1", ""},
		{"Host: [::1]:8080", ""},
		{"Host: LOCALHOST.:8080", ""},
		{"Host: app.localhost:8080", ""},
		{"Peer: 192.0.2.1:5", "does not come from this machine"},
		{"Peer: 10.0.0.1:5", "does not come from this machine"},
		{"Peer: @", "does not come from this machine"},
		{"Host: evil.example:8080", "for the host evil.example:8080"},
		{"Host: localhost.evil.example", "for the host"},
		{"Host: 127.0.0.1.evil.example", "for the host"},
		{"Host: notlocalhost", "for the host"},
		{"Host: 192.168.1.5:8080", "for the host"},
		{"Host: 0.0.0.0:8080", "for the host"},
		{"Host: ", "for the host"},
		{"Protocol: HTTP/1.0", "HTTP/1.0"},
		{"Via: 1.1 cache", "the header Via"},
		{"X-Amzn-Trace-Id: Root=1", ""}, // AWS's SDKs send these
		{"X-Amz-User-Agent: aws-sdk-js/3", ""},
		{"Amz-Sdk-Request: attempt=1", ""},
		{"X-Amz-Client-Context: e30=", ""},
		{"X-Request-Id: 5", ""},
		{"Traceparent: 00-5-5-01", ""},
		{"User-Agent: via a proxy, forwarded", ""},
		{"Cookie: X-Forwarded-For=1", ""},
	} {
		got := FromElsewhere(received(t, c.line))
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.line, got, c.want)
		}
	}
}

// TestProxied: any line counts, however it is written and whatever it says,
// nothing included.
func TestProxied(t *testing.T) {
	for _, name := range []string{
		"Forwarded", "X-Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Server",
		"X-Forwarded-Prefix", "X-Forwarded-Scheme", "X-Forwarded-Client-Cert", "X-Original-Forwarded-For", "Forwarded-For", "X-Forward-For",
		"X-Real-IP", "X-Client-IP", "Client-IP", "True-Client-IP", "X-True-Client-IP", "X-Cluster-Client-IP", "Proxy-Client-IP", "WL-Proxy-Client-IP",
		"CF-Connecting-IP", "CF-Connecting-IPv6", "CF-Ray", "CF-Visitor", "CDN-Loop", "Fastly-Client-IP", "Fastly-SSL", "Akamai-Origin-Hop",
		"X-Azure-ClientIP", "X-Azure-SocketIP", "X-ARR-LOG-ID", "X-ARR-SSL", "X-Original-For", "X-Original-Host", "X-Original-To", "X-Original-URL",
		"X-Envoy-External-Address", "X-AppEngine-User-IP", "Fly-Client-IP", "X-Vercel-IP-City", "X-NF-Client-Connection-IP", "Incap-Client-IP",
		"X-Sucuri-ClientIP", "DO-Connecting-IP", "Ali-CDN-Real-IP", "CDN-Src-IP", "Tailscale-User-Login", "X-Amz-Cf-Id", "CloudFront-Viewer-Address",
		"X-ProxyUser-IP", "X-Remote-IP", "X-Remote-Addr", "X-Originating-IP", "X-Varnish", "X-SSL-Client-Cert", "Front-End-Https", "Via", "Max-Forwards",
	} {
		for _, spelling := range []string{name, strings.ToLower(name), strings.ToUpper(name), strings.ReplaceAll(name, "-", "_")} {
			for _, lines := range [][]string{{spelling + ":"}, {spelling + ": 127.0.0.1"}, {spelling + ":", spelling + ": 203.0.113.7"}, {"X-Other: 1", spelling + ": \t"}} {
				if proxyHeader(received(t, lines...).Header) == "" || FromElsewhere(received(t, lines...)) == "" {
					t.Errorf("%q is taken for a program's own request", lines)
				}
			}
		}
	}
	h := http.Header{"X-Forwarded-For": nil, "Via": {"x"}, "Accept": {"*/*"}}
	if name := proxyHeader(h); name != "Via" {
		t.Errorf("it names %q, want the first in the alphabet", name)
	}
}

func TestFromPage(t *testing.T) {
	for _, c := range []struct {
		lines  []string
		secure bool
		page   bool // it comes from another page than our own
	}{
		{nil, false, false},
		{[]string{"Origin: http://localhost:8080"}, false, false},
		{[]string{"Origin: http://LOCALHOST:8080", "Sec-Fetch-Site: same-origin"}, false, false},
		{[]string{"Origin: https://localhost:8080"}, true, false},
		{[]string{"Host: [::1]:8080", "Origin: http://[::1]:8080"}, false, false},
		{[]string{"Host: 127.0.0.1", "Origin: http://127.0.0.1"}, false, false},
		{[]string{"Sec-Fetch-Site: none"}, false, false},
		{[]string{"Sec-Fetch-Site: same-origin"}, false, false},
		{[]string{"Origin: https://localhost:8080"}, false, true}, // another scheme
		{[]string{"Origin: http://localhost:8080"}, true, true},
		{[]string{"Origin: http://localhost:3000"}, false, true}, // another port
		{[]string{"Origin: http://localhost"}, false, true},
		{[]string{"Origin: http://127.0.0.1:8080"}, false, true}, // another host
		{[]string{"Origin: http://evil.example"}, false, true},
		{[]string{"Origin: null"}, false, true},
		{[]string{"Origin:"}, false, true},
		{[]string{"Origin: http://localhost:8080", "Origin: http://evil.example"}, false, true},
		{[]string{"Origin: http://localhost:8080/"}, false, true},
		{[]string{"Host: evil.example:8080", "Origin: http://evil.example:8080"}, false, true}, // its own, but not on this machine
		{[]string{"Sec-Fetch-Site: same-site"}, false, true},
		{[]string{"Sec-Fetch-Site: cross-site"}, false, true},
		{[]string{"Sec-Fetch-Site:"}, false, true},
		{[]string{"Sec-Fetch-Site: none", "Sec-Fetch-Site: cross-site"}, false, true},
		{[]string{"Origin: http://localhost:8080", "Sec-Fetch-Site: cross-site"}, false, true},
	} {
		if why := FromPage(received(t, c.lines...), c.secure); (why != "") != c.page {
			t.Errorf("%q over TLS %v: got %q, want a page %v", c.lines, c.secure, why, c.page)
		}
	}
	if why := FromPage(received(t, "Origin: http://\u202e"+strings.Repeat("x", 1000)), false); len(why) > 200 || strings.ContainsFunc(why, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Errorf("the reason repeats what it was sent: %q", why)
	}
}

const (
	proxied = "X-Forwarded-For: 203.0.113.7"
	public  = "Local: 203.0.113.1:8080"
)

var pages = []struct {
	home  bool
	lines []string
}{
	{true, nil},
	{true, []string{"Origin:"}},
	{true, []string{"Origin: http://localhost:3000", "Host: anything.example"}},
	{true, []string{"Origin: https://app.localhost"}},
	{true, []string{"Origin: http://127.0.0.1:5500"}},
	{true, []string{"Origin: http://[::1]:5500"}},
	{true, []string{"Origin: http://laptop:3000"}},
	{true, []string{"Origin: http://LAPTOP.local"}},
	{true, []string{"Origin: https://game.example.com", "Host: game.example.com"}},
	{true, []string{"Origin: https://game.example.com", "Host: localhost:8080"}},
	{true, []string{"Origin: https://friend.example:8443"}},
	{true, []string{"Origin: http://plain.example"}},
	{false, []string{"Origin: https://friend.example"}},
	{false, []string{"Origin: http://friend.example:8443"}},
	{false, []string{"Origin: null"}},
	{false, []string{"Origin: file://"}},
	{false, []string{"Origin: evil.example"}},
	{false, []string{"Origin: http://localhost@evil.example", "Host: evil.example"}},
	{false, []string{"Origin: http://evil.example@localhost"}},
	{false, []string{"Origin: http://localhost.evil.example"}},
	{false, []string{"Origin: http://laptop.evil.example"}},
	{false, []string{"Origin: http://sub.game.example.com"}},
	{false, []string{"Origin: http://localhost:3000", "Origin: http://evil.example"}},

	// An address is where it says it is.
	{true, []string{"Origin: http://192.168.1.5:3000", "Host: 192.168.1.5:8080", "Local: 192.168.1.5:8080"}},
	{true, []string{"Origin: http://203.0.113.9", "Host: 203.0.113.9:8080"}},
	{true, []string{"Origin: http://[fd00::1]:3000", "Host: [FD00:0::1]:8080"}},
	{false, []string{"Origin: http://192.168.1.6", "Host: 192.168.1.5:8080", public}},
	{false, []string{"Origin: http://192.168.1.5", "Host: localhost:8080"}},
	{false, []string{"Origin: http://203.0.113.9", "Host: evil.example:8080", public, proxied}},

	// A name is where its owner says it is.
	{false, []string{"Origin: http://evil.example:9104", "Host: evil.example:9104"}},
	{false, []string{"Origin: http://evil.example", "Host: evil.example", "Local: 192.168.1.5:8080"}},
	{false, []string{"Origin: http://evil.example", "Host: evil.example", "Local: 100.64.0.1:8080"}},
	{false, []string{"Origin: http://evil.example", "Host: evil.example", "Local: [fe80::1%lo]:8080"}},
	{false, []string{"Origin: http://evil.example", "Host: evil.example", "Local: [fd00::1]:8080"}},
	{false, []string{"Origin: http://evil.example", "Host: evil.example", "Local: [::ffff:192.168.1.5]:8080"}},
	{true, []string{"Origin: http://good.example", "Host: good.example:8080", public}},
	{true, []string{"Origin: https://Good.example", "Host: good.example.", proxied}},
	{true, []string{"Origin: https://good.example", "Host: good.example", "Forwarded:"}},
	{true, []string{"Origin: https://good.example", "Host: good.example", "Local: [2001:db8::1]:443"}},
	{false, []string{"Origin: https://evil.example", "Host: good.example", public}},
	{false, []string{"Origin: https://evil.example", "Host: good.example", proxied}},
}

func TestAtHome(t *testing.T) {
	p := NewPages([]string{"Laptop", "laptop.local.", "game.example.com"}, []string{"https://friend.example:8443/", "http://plain.example:80"})
	for _, c := range pages {
		if got := p.AtHome(received(t, c.lines...), false); got != c.home {
			t.Errorf("%q: at home is %v", c.lines, got)
		}
	}
	r := received(t, "Origin: https://good.example", "Host: good.example")
	if p.AtHome(r, false) || !p.AtHome(r, true) {
		t.Error("a browser has checked the name when it speaks TLS, and only then")
	}
	if r := received(t, "Origin: https://evil.example", "Host: good.example"); p.AtHome(r, true) {
		t.Error("TLS does not make another page one of ours")
	}
	if r := r.WithContext(context.Background()); p.AtHome(r, false) {
		t.Error("a connection of which nothing is known counts as public")
	}
	all := NewPages(nil, []string{"*"})
	for _, origin := range []string{"null", "http://evil.example"} {
		if !all.AtHome(received(t, "Origin: "+origin), false) {
			t.Errorf("* does not let %s in", origin)
		}
	}
	for _, allowed := range []string{"null", "file://"} {
		files := NewPages(nil, []string{allowed})
		for origin, want := range map[string]bool{"null": true, "file://": true, "FILE://": true, "file://evil.example": false, "http://evil.example": false} {
			r := received(t, "Origin: "+origin)
			if files.AtHome(r, false) != want || FromFile(r) != want {
				t.Errorf("%s lets pages from files in, and no others: %s", allowed, origin)
			}
		}
	}
}

func TestPublic(t *testing.T) {
	for addr, want := range map[string]bool{
		"203.0.113.1": true, "8.8.8.8": true, "2001:db8::1": true, "172.32.0.1": true, "100.128.0.1": true, "::ffff:8.8.8.8": true, "192.169.0.1": true,
		"127.0.0.1": false, "10.1.2.3": false, "172.16.0.1": false, "172.31.255.255": false, "192.168.0.1": false, "169.254.1.1": false, "100.64.0.1": false,
		"100.127.255.255": false, "0.0.0.0": false, "::": false, "::1": false, "fc00::1": false, "fdff::1": false, "fe80::1%eth0": false, "febf::1": false,
		"fec0::1": false, "::ffff:10.0.0.1": false,
	} {
		if got := Public(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s is public: %v", addr, got)
		}
	}
	if Public(netip.Addr{}) {
		t.Error("no address is public")
	}
}

func TestNames(t *testing.T) {
	for host, want := range map[string][]string{
		"laptop": {"laptop", "laptop.local"}, "Laptop.local": {"laptop.local"}, "web1.example.com": {"web1.example.com", "web1.local"},
		"DESKTOP-1": {"desktop-1", "desktop-1.local"}, "": nil, "laptop.": {"laptop", "laptop.local"},
	} {
		if got := namesOf(host); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", host, got, want)
		}
	}
}

func TestCheckOrigin(t *testing.T) {
	for origin, good := range map[string]bool{
		"*": true, "null": true, "file://": true, "https://game.example.com": true, "https://game.example.com/": true, "http://localhost:3000": true, "capacitor://localhost": true,
		"": false, "game.example.com": false, "game.example.com:443": false, "https://": false, "https://game.example.com/path": false,
		"https://*.example.com": false, "wss://game.example.com": false, "https://bücher.example": false, "https://game.example.com?": false,
		"https://game.example.com#": false, "HTTPS://Game.example.com": true, "https://xn--bcher-kva.example": true,
		"https://u:p@game.example.com": false, "https://game.example.com?x": false, "https://*.example.com:x": false,
	} {
		if err := CheckOrigin(origin); (err == nil) != good {
			t.Errorf("%q: %v", origin, err)
		}
	}
}
