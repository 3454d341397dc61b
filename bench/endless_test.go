package bench

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// TestEndlessMessage: a server that never ends a message does not fill the memory: it is told, and so is the person.
func TestEndlessMessage(t *testing.T) {
	t.Parallel()
	const subscribers, plenty = 4, 48 << 20
	var sent atomic.Int64
	told := make(chan websocket.StatusCode, subscribers)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return // it asks for /metrics
		}
		defer conn.CloseNow()
		conn.SetReadLimit(-1)
		ended := make(chan error)
		go func() {
			for {
				if _, _, err := conn.Read(r.Context()); err != nil {
					ended <- err
					return
				}
			}
		}()
		message, err := conn.Writer(r.Context(), websocket.MessageText)
		for piece := bytes.Repeat([]byte("x"), 64<<10); err == nil && sent.Load() < subscribers*plenty; {
			_, err = message.Write(piece)
			sent.Add(int64(len(piece)))
		}
		told <- websocket.CloseStatus(<-ended)
	}))
	defer server.Close()
	result, err := Run(t.Context(), Config{
		URL: "ws" + strings.TrimPrefix(server.URL, "http"), Subscribers: subscribers, Publishers: 1, Rate: 1, Size: minSize, Duration: 500 * time.Millisecond,
		patience: 2 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	for range subscribers {
		if code := <-told; code != websocket.StatusMessageTooBig {
			t.Errorf("the server is told %d, want 1009", code)
		}
	}
	if sent.Load() >= subscribers*plenty {
		t.Errorf("%d connections took %d MiB", subscribers, sent.Load()>>20)
	}
	if err := result.Check(); err == nil || !strings.Contains(err.Error(), "4 connections: the server sent more than is taken: messages are limited to 1048576 bytes") {
		t.Errorf("the person is told %v", err)
	}
}

// TestMaxHeard: all connections together collect little, and each what a server with the usual limit sends.
func TestMaxHeard(t *testing.T) {
	for _, c := range []struct{ subscribers, size, want int }{
		{1, 64, 1 << 20},
		{100, 64, 1 << 20},
		{1000, 64, 128 << 20 / 1000},
		{10_000, 64, 128 << 20 / 10_000},
		{1 << 30, 64, 64*2 + 1024},
		{10_000, 100_000, 200_000 + 1024},
		{1, 16 << 20, 32<<20 + 1024},
	} {
		if got := (Config{Subscribers: c.subscribers, Size: c.size}).maxHeard(); got != c.want {
			t.Errorf("%d connections, %d bytes: %d are heard, want %d", c.subscribers, c.size, got, c.want)
		}
	}
}
