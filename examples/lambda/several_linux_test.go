package lambda

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"crier/internal/wiretest"
)

// TestSeveral: three gateways share their connections. The handlers, which know nothing of that, reach everybody from
// everywhere, and learn who has left.
func TestSeveral(t *testing.T) {
	peers := wiretest.FreeAddresses(t, "127.0.0.1", 3)
	var all []*gateway
	for _, peer := range peers {
		g := serve(t, "chat-v3/crier.yaml", "--cluster-peers", strings.Join(peers, ","), "--cluster-listen", peer)
		all = append(all, g)
	}
	clients := []*client{all[0].enter(), all[1].enter(), all[2].enter()}
	for _, c := range clients {
		c.say(`{"action":"sendMessage","data":"hello"}`)
		for _, other := range clients {
			other.hears("a message on whatever server", "hello")
		}
	}
	clients[1].Close(websocket.StatusNormalClosure, "")
	for _, text := range []string{"one has left", "and is forgotten"} {
		clients[0].say(`{"action":"sendMessage","data":"` + text + `"}`)
		clients[0].hears("who is there", text)
		clients[2].hears("who is there", text)
	}
}

// enter connects as soon as the gateway has joined the others; until then, and while they elect a leader, it answers 503.
func (g *gateway) enter() *client {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	for {
		conn, resp, err := websocket.Dial(ctx, g.url, nil)
		switch {
		case err == nil:
			g.t.Cleanup(func() { conn.Close(websocket.StatusNormalClosure, "") })
			return &client{conn, g.t}
		case resp == nil || resp.StatusCode != http.StatusServiceUnavailable:
			g.t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
