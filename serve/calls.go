package serve

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"crier/api"
	"crier/app"
	"crier/door"
	"crier/ws"
)

// API Gateway's limits.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
const (
	awsMaxMessage = 128 << 10
	awsMaxFrame   = 32 << 10
	awsIdle       = 10 * time.Minute
	awsLifetime   = 2 * time.Hour
)

// How much the handlers may be working on at once. Each of these takes a
// goroutine and an event.
const (
	// maxCalls bounds messages. One connection may have as many under way as
	// are free: 500 if it is alone, and never all, so that others get some.
	maxCalls = 1000
	// maxHandshakes bounds handshakes, which also hold the memory of a request.
	maxHandshakes = 1000
	// maxEndings bounds the ends of connections. Further ones wait, and count
	// as connections until they are handled.
	maxEndings = 100
)

// answersGrace is how much time handlers have for the remaining messages of a
// client that has sent its close frame. Most clients wait for our close frame
// for five seconds or more.
const answersGrace = 4 * time.Second

// callsGrace is how much time handlers have when the last connection has ended.
const callsGrace = 2 * time.Second

// calls passes events on to the user's own API, and knows which are under way.
type calls struct {
	// Set once.
	home   *home
	own    *OwnAPI
	api    *api.Live
	life   time.Duration   // of a connection; 0: unlimited
	ctx    context.Context // of the events
	cancel context.CancelFunc

	running sync.WaitGroup // handshakes and messages
	endings queue[ending]  // to be reported to the handlers
	dropped atomic.Int64   // endings that were not reported because time was over

	mu         sync.Mutex
	ended      bool // no handshake may begin any more
	handshakes int  // being handled. Invariant: <= maxHandshakes
	messages   int  // being handled. Invariant: <= maxCalls
}

// An ending is the end of a connection that the handlers have accepted. It
// keeps no other part of the connection in memory.
type ending struct {
	about *api.Connection
	how   ws.Close
}

func newCalls(h *home, g *OwnAPI) *calls {
	c := &calls{home: h, own: g, api: g.API}
	if g.Limits {
		c.life = awsLifetime
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.endings.do, c.endings.max = c.report, maxEndings
	return c
}

// enter takes a place for a handshake. If it returns nil, leave must follow.
func (c *calls) enter(id string) *door.Refusal {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.ended || c.home.draining.Load():
		return &door.ShuttingDown
	case c.handshakes == maxHandshakes:
		no := door.HandlerRefused
		no.Status, no.Body = http.StatusTooManyRequests, tooMany(id)
		return &no
	}
	c.handshakes++
	c.running.Add(1)
	return nil
}

func (c *calls) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handshakes--
	c.running.Done()
}

// take takes a place for a message of a connection. If it returns true, done
// must follow.
func (c *calls) take(from *api.Connection) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if from.Pending() >= maxCalls-c.messages {
		return false
	}
	c.messages++
	c.running.Add(1)
	return true
}

func (c *calls) done() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.messages--
	c.running.Done()
}

// tooMany returns the answer to a message or handshake beyond the limit.
func tooMany(id string) []byte {
	return app.AppendErrorFrame(nil, "Too Many Requests", id, door.NewID())
}

// announce reports an ending to the handlers as soon as there is a place. The
// connection is dismissed when they have handled it, so there are never more
// endings than admitted connections. After end, only a handshake may call
// announce.
func (c *calls) announce(e ending) { c.endings.add(e) }

func (c *calls) report(e ending) {
	if c.ctx.Err() == nil {
		c.api.Disconnect(c.ctx, e.about, e.how.Code, e.how.Reason)
	} else {
		c.dropped.Add(1)
	}
	c.home.connections.dismiss()
}

// end waits until all events are handled. After callsGrace the remaining ones
// are abandoned. No connection may be left.
func (c *calls) end() {
	defer time.AfterFunc(callsGrace, c.cancel).Stop()
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	c.running.Wait() // handshakes may still announce an ending
	c.endings.wait()
	c.cancel()
	if n := c.dropped.Load(); n > 0 {
		c.home.config.Log.Warn("there was no time to hand over all $disconnect events", "dropped", n)
	}
}
