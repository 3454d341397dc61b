package trust

import (
	"net/http"
	"testing"
)

func TestProxies(t *testing.T) {
	var p Proxies
	for _, text := range []string{"10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "::ffff:198.51.100.9", "127.0.0.1"} {
		network, err := ParseProxy(text)
		if err != nil {
			t.Fatal(err)
		}
		p = append(p, network)
	}
	for _, test := range []struct {
		peer   string
		header []string
		want   string
	}{
		{"203.0.113.1:5", []string{"198.51.100.1"}, "203.0.113.1:5"}, // not by a proxy
		{"10.1.2.3:5", nil, "10.1.2.3:5"},
		{"10.1.2.3:5", []string{"198.51.100.1"}, "198.51.100.1:0"},
		{"[::ffff:10.1.2.3]:5", []string{"198.51.100.1"}, "198.51.100.1:0"},
		{"[2001:db8::7]:5", []string{"2a00::1"}, "[2a00::1]:0"},
		{"198.51.100.9:5", []string{"2a00::1"}, "[2a00::1]:0"},
		{"10.1.2.3:5", []string{"1.1.1.1, 198.51.100.1, 192.0.2.1"}, "198.51.100.1:0"}, // the first is the client's own invention
		{"10.1.2.3:5", []string{"1.1.1.1", "198.51.100.1,10.9.9.9"}, "198.51.100.1:0"}, // several lines are one
		{"10.1.2.3:5", []string{"127.0.0.1, 198.51.100.1"}, "198.51.100.1:0"},          // and so is this machine
		{"10.1.2.3:5", []string{"198.51.100.1, nonsense, 192.0.2.1"}, "192.0.2.1:0"},   // nothing before nonsense counts
		{"10.1.2.3:5", []string{"unknown"}, "10.1.2.3:5"},                              // RFC 7239 has that word
		{"10.1.2.3:5", []string{"198.51.100.1:4711"}, "198.51.100.1:0"},                // as Azure does
		{"10.1.2.3:5", []string{"[2a00::1]:4711"}, "[2a00::1]:0"},
		{"10.1.2.3:5", []string{"[2a00::1]"}, "[2a00::1]:0"},
		{"10.1.2.3:5", []string{"10.4.4.4, 192.0.2.1"}, "10.4.4.4:0"}, // a client inside
		{"@", []string{"198.51.100.1"}, "@"},                          // a Unix socket
	} {
		r := &http.Request{RemoteAddr: test.peer, Header: http.Header{"X-Forwarded-For": test.header}}
		if got := p.Unwrap(r).RemoteAddr; got != test.want {
			t.Errorf("%s with %q comes from %s, want %s", test.peer, test.header, got, test.want)
		}
		if r.RemoteAddr != test.peer {
			t.Errorf("the request was changed")
		}
	}
	for _, text := range []string{"", "localhost", "10.0.0.0/33", "10.0.0", "nginx"} {
		if _, err := ParseProxy(text); err == nil {
			t.Errorf("%q is a network", text)
		}
	}
}
