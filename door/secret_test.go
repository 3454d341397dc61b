package door

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// TestTurns: a TLS handshake waits while as many others compute as may, and its
// client is not blamed for that time.
func TestTurns(t *testing.T) {
	certified := httptest.NewTLSServer(nil) // for its certificate
	defer certified.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	const timeout = 200 * time.Millisecond
	lobby := NewLobby(func() int { return 1000 }, slog.New(slog.DiscardHandler))
	s := &http.Server{Handler: http.NotFoundHandler(), ConnContext: ConnContext, ReadHeaderTimeout: timeout}
	done := make(chan error)
	go func() {
		done <- s.Serve(Listener{Listener: l, TLS: &tls.Config{Certificates: certified.TLS.Certificates}, Lobby: lobby})
	}()
	defer func() {
		s.Close()
		<-done
	}()
	for range cap(lobby.turns) {
		lobby.turns <- struct{}{}
	}
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	answered := make(chan error)
	go func() {
		resp, err := client.Get("https://" + l.Addr().String())
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		answered <- err
	}()
	select {
	case err := <-answered:
		t.Fatalf("it does not wait: %v", err)
	case <-time.After(2 * timeout):
	}
	for range cap(lobby.turns) {
		<-lobby.turns
	}
	if err := <-answered; err != nil {
		t.Error(err)
	}
}
