package serve

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"crier/hub"
)

// TestListenersAndRemoval: a topic may be removed while somebody begins to listen
// to it.
func TestListenersAndRemoval(t *testing.T) {
	s := open(t, nil)
	var listening sync.WaitGroup
	for range 4 {
		listening.Go(func() {
			for range 50 {
				r, _ := http.NewRequestWithContext(t.Context(), "GET", "http"+strings.TrimPrefix(s.URL(), "ws")+"/live?topic=a&topic=b&topic=c&topic=d", nil)
				resp, err := http.DefaultClient.Do(r)
				if err == nil { // otherwise it was removed before the answer
					resp.Body.Close()
				}
			}
		})
	}
	done := make(chan struct{})
	go func() {
		listening.Wait()
		close(done)
	}()
	for {
		select {
		case <-done:
			http.DefaultClient.CloseIdleConnections()
			empty(t, s)
			return
		default:
			for _, topic := range []string{"d", "c", "b", "a"} {
				topics{s.home}.Remove("live", topic)
			}
		}
	}
}

// neglect begins to listen to a topic with three clients that do not read. The
// caller must close them.
func neglect(t *testing.T, s *Server, topic string) (clients [3]net.Conn) {
	t.Helper()
	for i := range clients {
		nc, err := net.Dial("tcp", strings.TrimPrefix(s.URL(), "ws://"))
		if err != nil {
			t.Fatal(err)
		}
		nc.(*net.TCPConn).SetReadBuffer(4 << 10)
		fmt.Fprintf(nc, "GET /live?topic=%s HTTP/1.1\r\nHost: localhost\r\n\r\n", topic)
		clients[i] = nc
	}
	await(t, "nobody listens", func() bool {
		return s.home.hub.Audience([]hub.Topic{{App: liveName, Name: topic}}) == len(clients)
	})
	return clients
}

// publishMuch publishes more than sockets hold, 12 MiB.
func publishMuch(t *testing.T, s *Server, topic string) {
	t.Helper()
	c, _ := enter(t, s, "topic="+topic)
	for range 30 {
		c.Write([]byte(strings.Repeat("x", 400<<10)), false)
		next(t, c)
	}
}

func muchMemory(c *Config) { c.Memory, c.Backlog, c.MaxMessage = 16<<20, 7<<20, 512<<10 }

// TestDeafListeners: clients that ask for events and do not read them do not
// delay those who need the memory that they hold.
func TestDeafListeners(t *testing.T) {
	s := open(t, muchMemory)
	start := time.Now()
	for _, topic := range []string{"a", "b", "c"} {
		for _, nc := range neglect(t, s, topic) {
			defer nc.Close()
		}
		publishMuch(t, s, topic)
	}
	if took := time.Since(start); took > listenerPatience/2 {
		t.Errorf("it took %v", took)
	}
}

// TestDeafEnd: such clients do not delay the end of the server.
func TestDeafEnd(t *testing.T) {
	var clients [3]net.Conn
	var start time.Time
	t.Cleanup(func() {
		if took := time.Since(start); took > listenerPatience/2 {
			t.Errorf("the end took %v", took)
		}
		for _, nc := range clients {
			nc.Close()
		}
	})
	s := open(t, muchMemory)
	clients = neglect(t, s, "a")
	publishMuch(t, s, "a")
	start = time.Now()
}
