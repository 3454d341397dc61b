package serve

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	wire "crier/client"
	"crier/cluster"
	"crier/ws"
)

// A delay keeps a server from applying more of the tape until it is over.
func (t *tape) delay(server int) (over func()) {
	late := make(chan struct{})
	t.add(taped{probe: func(h *head) {
		if h == t.heads[server] {
			<-late
		}
	}})
	return func() { close(late) }
}

// waitedFor waits until somebody waits for the server, or done is closed.
func (h *head) waitedFor(done <-chan struct{}) {
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for h.waits.Load() == 0 {
		select {
		case <-done:
			return
		case <-again.C:
		}
	}
}

// TestSharedBefore: a client does not hear what was published before it came or
// before it subscribed, though its server applies that later; and it hears what was
// published before it unsubscribed.
func TestSharedBefore(t *testing.T) {
	shared, servers := openShared(t, 2, nil)
	dial := func(server int, path string) *wire.Conn {
		c, err := wire.Dial(t.Context(), servers[server].URL()+path, wire.Handshake{})
		if err != nil {
			t.Error(err)
			return nil
		}
		t.Cleanup(c.HangUp)
		return c
	}
	send := func(c *wire.Conn, text string) { c.Write([]byte(text), false) }
	// late publishes something on the first server, and does something on the
	// second one before that has applied it.
	late := func(c *wire.Conn, text, copy string, do func()) {
		t.Helper()
		over := shared.delay(1)
		send(c, text)
		gets(t, c, copy)
		done := make(chan struct{})
		go func() { do(); close(done) }()
		shared.heads[1].waitedFor(done)
		over()
		<-done
	}
	ann := dial(0, "/rooms?user=ann")
	send(ann, `{"action":"subscribe","topic":"t"}`)
	gets(t, ann, `"subscribe"`)
	bob := dial(1, "/rooms?user=bob")
	var first string
	asks := func(what string) func() {
		return func() {
			send(bob, `{"action":"`+what+`","topic":"t"}`)
			data, _, _ := bob.Next()
			first = string(data)
		}
	}
	const say = `{"action":"broadcast","topic":"t","payload":"%s"}`
	late(ann, fmt.Sprintf(say, "before"), `"before"`, asks("subscribe"))
	if !strings.Contains(first, `"subscribe"`) {
		t.Errorf("who subscribes hears %s", first)
	}
	gets(t, ann, `"ok":true`)
	late(ann, fmt.Sprintf(say, "after"), `"after"`, asks("unsubscribe"))
	if !strings.Contains(first, `"after"`) {
		t.Errorf("who unsubscribes does not hear what was said before: %s", first)
	}
	gets(t, bob, `"unsubscribe"`)
	var cy *wire.Conn
	late(dial(0, "/?topic=x"), "early", `"early"`, func() { cy = dial(1, "/?topic=x") })
	send(cy, "mine")
	gets(t, cy, "mine")
}

// TestSharedLost: after a message of a client is lost, none of its connection is
// published. Otherwise the client would take the copy of the next one for that of
// the one that is lost.
func TestSharedLost(t *testing.T) {
	shared, servers := openShared(t, 1, nil)
	head := shared.heads[0]
	ann, err := wire.Dial(t.Context(), servers[0].URL()+"/?topic=x", wire.Handshake{})
	if err != nil {
		t.Fatal(err)
	}
	defer ann.HangUp()
	head.loses.Store(true)
	ann.Write([]byte("one"), false)
	for i := 0; ; {
		e, more, ok := shared.at(i)
		if !ok {
			<-more
			continue
		}
		if i++; e.event.Kind != cluster.Lost {
			continue
		}
		if err := head.reach(t.Context(), i); err != nil {
			t.Fatal(err)
		}
		break
	}
	head.loses.Store(false)
	ann.Write([]byte("two"), false)
	text, _, err := ann.Next()
	if how, _ := errors.AsType[ws.Close](err); how.Code != 1013 {
		t.Errorf("%s, %v", text, err)
	}
}
