package serve

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"crier/api"
	"crier/app"
	"crier/gateway"
	"crier/hub"
	"crier/transport"
	"crier/ws"
)

// What API Gateway allows.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
const (
	awsMaxMessage = 128 << 10
	awsMaxFrame   = 32 << 10
	awsIdle       = 10 * time.Minute
	awsLifetime   = 2 * time.Hour
)

// What is with the handlers at once. Each of these holds a goroutine and an
// event.
const (
	// maxCalls bounds messages. One connection may have as many as are free:
	// 500 if it is alone, and always fewer than all, so that others have some.
	maxCalls = 1000
	// maxHandshakes bounds handshakes, which also hold the memory of a request.
	maxHandshakes = 1000
	// maxEndings bounds the ends of connections. Those beyond wait, and count
	// as connections meanwhile.
	maxEndings = 100
)

// answersGrace is how long handlers may still take with the messages of a client
// that has sent its close frame: most wait for ours for five seconds or more.
const answersGrace = 4 * time.Second

// callsGrace is how long handlers may still take when the last connection has ended.
const callsGrace = 2 * time.Second

// Causes of the end of a caller's connection, with API Gateway's limits.
var (
	errBinary = errors.New("serve: binary messages are not allowed")
	errTooOld = errors.New("serve: the connection has lived for as long as it may")
)

// calls hands events to an API of the user's own, and knows which are under way.
type calls struct {
	// Set once.
	server  *Server
	gateway *Gateway
	api     *api.Live
	life    time.Duration   // of a connection; 0: as long as it likes
	ctx     context.Context // of the events
	cancel  context.CancelFunc

	running sync.WaitGroup // handshakes, messages and announcers
	dropped atomic.Int64   // endings that were not announced, because there was no more time

	mu         sync.Mutex
	ended      bool     // no handshake begins any more
	handshakes int      // with the handlers. Invariant: <= maxHandshakes
	messages   int      // with the handlers. Invariant: <= maxCalls
	endings    []ending // to be announced, the oldest first. Invariant: empty, or announcers > 0
	announcers int      // goroutines. Invariant: <= maxEndings
}

// An ending is the end of a connection that the handlers have accepted. It
// keeps nothing else of the connection alive.
type ending struct {
	about *api.Connection
	how   ws.Close
}

func newCalls(s *Server, g *Gateway) *calls {
	c := &calls{server: s, gateway: g, api: g.API}
	if g.Limits {
		c.life = awsLifetime
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// enter lets a handshake go to the handlers. If it returns nil, leave must
// follow.
func (c *calls) enter(id string) *gateway.Refusal {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.ended || c.server.draining.Load():
		return &gateway.ShuttingDown
	case c.handshakes == maxHandshakes:
		no := gateway.HandlerRefused
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

// take lets a message of a connection go to the handlers. If it returns true,
// done must follow.
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

// tooMany is what a client is told whose message or handshake would be one too
// many.
func tooMany(id string) []byte {
	return app.AppendErrorFrame(nil, "Too Many Requests", id, gateway.NewID())
}

// announce tells the handlers of an ending as soon as it can. The connection is
// dismissed when they have handled it, so that there are never more endings
// than admitted connections. It must not be called after end, except by a
// handshake.
func (c *calls) announce(e ending) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endings = append(c.endings, e)
	if c.announcers < maxEndings {
		c.announcers++
		c.running.Add(1)
		go c.announceAll() // end waits for it
	}
}

// announceAll announces endings until there are none.
func (c *calls) announceAll() {
	defer c.running.Done()
	for {
		e, ok := c.nextEnding()
		if !ok {
			return
		}
		if c.ctx.Err() == nil {
			c.api.Disconnect(c.ctx, e.about, e.how.Code, e.how.Reason)
		} else {
			c.dropped.Add(1)
		}
		c.server.dismiss()
	}
}

// nextEnding returns false if there is none: then the announcer must end.
func (c *calls) nextEnding() (e ending, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.endings) == 0 {
		c.endings = nil // and with it the memory of many
		c.announcers--
		return ending{}, false
	}
	e, c.endings[0] = c.endings[0], ending{}
	c.endings = c.endings[1:]
	return e, true
}

// end waits until all events are handled, but not for long: then they are abandoned. No connection is left.
func (c *calls) end() {
	defer time.AfterFunc(callsGrace, c.cancel).Stop()
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	c.running.Wait()
	c.cancel()
	if n := c.dropped.Load(); n > 0 {
		c.server.config.Log.Warn("there was no time to hand over all $disconnect events", "dropped", n)
	}
}

// A caller is a client of the user's own API: it hands to the handlers what happens.
type caller struct {
	transport.Conn

	// Set once.
	server   *Server
	about    *api.Connection
	protocol string
	expiry   *time.Timer // of the connection; nil: it has none

	mu      sync.Mutex
	asked   int         // messages that are with the handlers
	leaving error       // why the connection ends when there are no more answers; nil: it does not
	grace   *time.Timer // of the answers; nil if leaving is
}

// call asks the handlers about a handshake that has been admitted.
func (s *Server) call(r *http.Request, id string) (gateway.Socket, *gateway.Refusal) {
	if no := s.calls.enter(id); no != nil {
		s.dismiss()
		return nil, no
	}
	defer s.calls.leave()
	c := &caller{
		server: s,
		about: &api.Connection{
			ID:        id,
			Domain:    strings.Clone(r.Host), // not with the whole request behind it
			SourceIP:  sourceIP(r),
			UserAgent: strings.Clone(r.UserAgent()),
			Connected: time.Now(),
		},
	}
	said := s.calls.api.Connect(s.calls.ctx, c.about, api.Handshake{
		Header: r.Header,
		Query:  r.URL.Query(),
		Spell:  gateway.Spell(r),
	})
	if said.Status != http.StatusOK {
		s.dismiss()
		no := gateway.HandlerRefused
		no.Status, no.Body = said.Status, said.Body
		return nil, &no
	}
	c.protocol = said.Protocol
	if err := s.transport.Open(&c.Conn, c, 0); err != nil {
		s.calls.announce(ending{c.about, gateway.GoingAway.Close()})
		return nil, &gateway.ShuttingDown
	}
	// Until now a post got 410, as in API Gateway. From now on it waits for the 101, so that a client that has the 101
	// can be posted to.
	s.register(id, c)
	return c, nil
}

func (c *caller) socket() *transport.Conn { return &c.Conn }
func (c *caller) app() string             { return ownMount }

func (c *caller) info() gateway.Info {
	return gateway.Info{
		ID:         c.about.ID,
		App:        ownMount,
		Connected:  c.about.Connected,
		LastActive: c.Active(),
		SourceIP:   c.about.SourceIP,
		UserAgent:  c.about.UserAgent,
		Unread:     c.Unread(),
	}
}

// Protocol implements gateway.Socket.
func (c *caller) Protocol() string { return c.protocol }

// Serve implements gateway.Socket.
func (c *caller) Serve(nc net.Conn, early []byte) {
	c.server.handshakes.Add(1)
	if life := c.server.calls.life; life > 0 {
		c.expiry = time.AfterFunc(life, func() { c.Close(errTooOld) })
	}
	c.server.transport.Serve(&c.Conn, nc, early)
}

// Abandon implements gateway.Socket. The handlers have been told of the connection: they are told that it is gone.
func (c *caller) Abandon() {
	c.server.unregister(c.about.ID)
	c.server.calls.announce(ending{c.about, lostClose})
	c.server.transport.Abandon(&c.Conn) // for which the end of the server waits
}

// Message implements transport.Receiver.
func (c *caller) Message(data []byte, binary bool) error {
	calls := c.server.calls
	if binary && calls.gateway.Limits {
		return errBinary
	}
	c.server.metrics.messages.Add(1)
	if !calls.take(c.about) {
		c.server.config.Log.Debug("too many messages are with the handlers",
			"connection", c.about.ID, "pending", c.about.Pending())
		c.post(tooMany(c.about.ID))
		return nil
	}
	reply := calls.api.Message(c.about, data, binary)
	c.mu.Lock()
	c.asked++
	c.mu.Unlock()
	go func() { // end waits for it
		defer calls.done()
		c.post(reply(calls.ctx))
		c.answered()
	}()
	return nil
}

// answered notes that the handlers are done with a message.
func (c *caller) answered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked--; c.asked == 0 && c.leaving != nil {
		c.Close(c.leaving)
	}
}

// Leaving implements transport.Receiver: the answers to what the client has said
// go before the close frame.
func (c *caller) Leaving(cause error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked == 0 {
		return false
	}
	c.leaving = cause
	c.grace = time.AfterFunc(answersGrace, func() { c.Close(cause) })
	return true
}

// post sends what there is to send. A client that does not read loses it; it is told when it is closed for that.
func (c *caller) post(data []byte) {
	if data != nil && errors.Is(c.Member.Post(frameOf(data)), hub.ErrFull) {
		c.Close(transport.ErrFlooded)
	}
}

// Closed implements transport.Receiver.
func (c *caller) Closed(cause error) {
	if c.expiry != nil {
		c.expiry.Stop()
	}
	c.mu.Lock()
	if c.leaving != nil {
		c.grace.Stop()
		if errors.Is(cause, transport.ErrLost) {
			cause = c.leaving // it did not wait
		}
	}
	c.mu.Unlock()
	c.server.ended(c.about.ID, cause)
	c.server.calls.announce(ending{c.about, c.goodbye(cause)})
}

// Explain implements transport.Receiver. Like API Gateway's, its reasons are
// sentences alone.
func (c *caller) Explain(cause error) ws.Close {
	no := explain(cause)
	if errors.Is(cause, transport.ErrIdle) && c.server.calls.gateway.Limits {
		no = gateway.TooOld // what API Gateway says of both
	}
	no.AWS = true
	return no.Close()
}

// lostClose is how handlers are told of a connection that ended without a close frame.
// "1006 is a reserved value … to indicate that the connection was closed abnormally". RFC 6455, section 7.4.1
var lostClose = ws.Close{Code: ws.Abnormal, Reason: "Connection closed abnormally"}

// goodbye returns the code and the reason that handlers are told.
func (c *caller) goodbye(cause error) ws.Close {
	var bye transport.Goodbye
	switch {
	case errors.As(cause, &bye) && (bye.Code == 0 || bye.Code == ws.NoStatus):
		return ws.Close{Code: ws.NoStatus, Reason: api.NoStatusReason}
	case errors.As(cause, &bye):
		return bye.Close
	case errors.Is(cause, transport.ErrLost):
		return lostClose
	}
	return c.Explain(cause)
}
