package serve

import (
	"bytes"
	"crypto/tls"
	"net"
	"net/http/httptest"
	"testing"
	"time"
)

// TestTickets: a client that was with one of several servers goes on with
// another, for a day at least, and with no server that has another secret.
func TestTickets(t *testing.T) {
	certified := httptest.NewTLSServer(nil) // for its certificate
	defer certified.Close()
	server := func(secret []byte, now time.Time) *tls.Config {
		c := &tls.Config{Certificates: certified.TLS.Certificates}
		keys := newTickets(nil, c)
		keys.share(secret)
		keys.renew(now)
		return c
	}
	ours, theirs := newSecret(), newSecret()
	now := time.Now()
	first := server(ours, now)
	for name, c := range map[string]struct {
		second *tls.Config
		want   bool
	}{
		"another server":              {server(ours, now), true},
		"a server whose clock is off": {server(ours, now.Add(-24*time.Hour)), true},
		"tomorrow":                    {server(ours, now.Add(24*time.Hour)), true},
		"the day after":               {server(ours, now.Add(48*time.Hour)), false},
		"another cluster":             {server(theirs, now), false},
		"a server without others":     {server(nil, now), false},
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

// TestTicketsOfLog: servers that share a log have one secret, which is the first
// in it, also if one of them starts from a checkpoint.
func TestTicketsOfLog(t *testing.T) {
	certified := httptest.NewTLSServer(nil) // for its certificate
	defer certified.Close()
	secure := func(c *Config) { c.TLS = &tls.Config{Certificates: certified.TLS.Certificates} }
	x, y, late := newReplica(t, secure), newReplica(t, secure), newReplica(t, secure)
	for _, each := range []replica{x, y} {
		for range 2 {
			each.tell(1, proposal(newSecret(), x))
		}
	}
	if bytes.Equal(x.home.tickets.shared(), y.home.tickets.shared()) {
		t.Error("servers with different logs have one secret")
	}
	if err := late.Restore(x.Save(nil)); err != nil {
		t.Fatal(err)
	}
	late.tell(1, proposal(newSecret(), x))
	client := &tls.Config{InsecureSkipVerify: true, ServerName: "localhost", ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	for i, s := range []struct {
		replica
		want bool
	}{{x, false}, {late, true}, {x, true}, {y, false}} {
		if got := resumed(t, s.home.tls, client); got != s.want {
			t.Errorf("%d: resumed is %v", i, got)
		}
	}
	if err := x.Restore(nil); err != nil || x.home.tickets.shared() != nil {
		t.Errorf("%v; a server that begins anew has a secret", err)
	}
}

// proposal is the record with which a server proposes a secret.
func proposal(secret []byte, x replica) packer {
	rec := packer{agreed}
	rec.number(7)
	rec.bytes(secret)
	rec.terms(x.home.terms.Load())
	return rec
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
