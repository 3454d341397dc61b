package serve

import (
	"crypto/tls"
	"net"
	"net/http/httptest"
	"testing"
	"time"

	"crier/cluster"
)

// TestTickets: a client that was with one server of a cluster goes on with
// another, for a day at least, and with no server that has another key.
func TestTickets(t *testing.T) {
	certified := httptest.NewTLSServer(nil) // for its certificate
	defer certified.Close()
	server := func(key string, now time.Time) *tls.Config {
		c := &tls.Config{Certificates: certified.TLS.Certificates}
		config := &Config{Cluster: &cluster.Config{Embedded: &cluster.Embedded{Key: key}}}
		keys, err := newTickets(config, nil, c)
		if err != nil {
			t.Fatal(err)
		}
		keys.renew(now)
		return c
	}
	const key, other = "0123456789abcdef", "fedcba9876543210"
	now := time.Now()
	first := server(key, now)
	for name, c := range map[string]struct {
		second *tls.Config
		want   bool
	}{
		"another server":              {server(key, now), true},
		"a server whose clock is off": {server(key, now.Add(-24*time.Hour)), true},
		"tomorrow":                    {server(key, now.Add(24*time.Hour)), true},
		"the day after":               {server(key, now.Add(48*time.Hour)), false},
		"another cluster":             {server(other, now), false},
	} {
		client := &tls.Config{InsecureSkipVerify: true, ServerName: "localhost", ClientSessionCache: tls.NewLRUClientSessionCache(1)}
		if resumed(t, first, client) {
			t.Errorf("%s: the first connection goes on with something", name)
		}
		if got := resumed(t, c.second, client); got != c.want {
			t.Errorf("%s: resumed is %v", name, got)
		}
	}
}

// resumed connects a client to a server, and reports whether it could go on with
// what it had.
func resumed(t *testing.T, server, client *tls.Config) bool {
	t.Helper()
	ours, theirs := net.Pipe()
	defer ours.Close()
	go func() {
		s := tls.Server(theirs, server)
		s.Write([]byte("x"))
		s.Close()
	}()
	c := tls.Client(ours, client)
	if _, err := c.Read(make([]byte, 1)); err != nil { // the ticket comes before
		t.Fatal(err)
	}
	return c.ConnectionState().DidResume
}
