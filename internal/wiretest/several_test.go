package wiretest

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestSeveral runs the suite against three servers that are as one. Each
// connection, and so each request, takes the next of them.
func TestSeveral(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes half a minute")
	}
	balancer := startSeveral(t, 3)
	Run(t, string(balancer))
}

// startSeveral starts n servers that share a log in memory, and a balancer. It
// returns the address of the balancer when all of them take clients.
func startSeveral(t *testing.T, n int, flags ...string) server {
	t.Helper()
	peers := FreeAddresses(t, "127.0.0.1", n)
	var all []server
	for _, peer := range peers {
		p := start(t, append(flags, "--cluster-listen", peer, "--cluster-peers", strings.Join(peers, ","))...)
		all = append(all, p.server)
	}
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	deadline := time.Now().Add(6 * patience) // the first start takes an election or two
	for _, s := range all {
		for a := s.ask(t, "GET /readyz"); a.status != 200; a = s.ask(t, "GET /readyz") {
			if time.Now().After(deadline) {
				t.Fatalf("%s is not ready: %s", s, a.body)
			}
			<-again.C
		}
	}
	return balance(t, all)
}

// balance starts a balancer, which leads each connection to the next server.
func balance(t *testing.T, servers []server) server {
	t.Helper()
	var addresses []string
	for _, s := range servers {
		address, _ := s.host()
		addresses = append(addresses, address)
	}
	balancer := server("ws://" + Balance(t, addresses))
	behind[balancer] = servers
	web.Transport = &http.Transport{DisableKeepAlives: true} // so that each request takes the next server
	t.Cleanup(func() {
		web.Transport = nil
		delete(behind, balancer)
	})
	return balancer
}
