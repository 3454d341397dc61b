package serve

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
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

// maxCalls is how many messages are with the handlers at once. What a client says beyond that it is told is too much.
const maxCalls = 1000

// callsGrace is how long handlers may still take when the last connection has ended.
const callsGrace = 2 * time.Second

// Causes of the end of a caller's connection, with API Gateway's limits.
var (
	errBinary = errors.New("serve: binary messages are not allowed")
	errTooOld = errors.New("serve: the connection has lived for as long as it may")
)

// calls hands events to an API of the user's own, and knows which are under way.
type calls struct {
	gateway *Gateway // set once
	api     *api.API
	slots   chan struct{} // has room for maxCalls
	life    time.Duration // of a connection; 0: as long as it likes

	ctx    context.Context // of the events
	cancel context.CancelFunc

	mu      sync.Mutex
	ended   bool
	running sync.WaitGroup // nothing is added after ended
}

func newCalls(g *Gateway) *calls {
	c := &calls{gateway: g, api: g.API, slots: make(chan struct{}, maxCalls)}
	if g.Limits {
		c.life = awsLifetime
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// begin says that something is under way, until c.running.Done is called; false: it must not be any more.
func (c *calls) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return false
	}
	c.running.Add(1)
	return true
}

// start does something in a goroutine of its own, for which end waits.
func (c *calls) start(do func()) {
	if c.begin() {
		go func() {
			defer c.running.Done()
			do()
		}()
	}
}

// end waits until all events are handled, but not for long: then they are abandoned. No connection is left.
func (c *calls) end() {
	defer time.AfterFunc(callsGrace, c.cancel).Stop()
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	c.running.Wait()
	c.cancel()
}

// A caller is a client of the user's own API: it hands to the handlers what happens.
type caller struct {
	transport.Conn

	// Set once.
	server   *Server
	about    api.Connection
	protocol string
	expiry   *time.Timer // of the connection; nil: it has none
}

// call asks the handlers about a handshake that has been admitted.
func (s *Server) call(r *http.Request, id string) (gateway.Socket, *gateway.Refusal) {
	if s.draining.Load() || !s.calls.begin() {
		s.dismiss(id)
		return nil, &gateway.ShuttingDown
	}
	defer s.calls.running.Done()
	c := &caller{
		server: s,
		about: api.Connection{
			ID:        id,
			Domain:    strings.Clone(r.Host), // not with the whole request behind it
			SourceIP:  sourceIP(r),
			UserAgent: strings.Clone(r.UserAgent()),
			Connected: time.Now(),
		},
	}
	said := s.calls.api.Connect(s.calls.ctx, &c.about, api.Handshake{
		Header: r.Header,
		Query:  r.URL.Query(),
		Secure: gateway.Secure(r),
		Spell:  gateway.Spell(r),
	})
	if said.Status != http.StatusOK {
		s.dismiss(id)
		no := gateway.HandlerRefused
		no.Status, no.Body = said.Status, said.Body
		return nil, &no
	}
	c.protocol = said.Protocol
	if err := s.transport.Open(&c.Conn, c, 0); err != nil {
		s.dismiss(id)
		c.disconnect(gateway.GoingAway.Close())
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
	c.server.transport.Abandon(&c.Conn)
	c.server.dismiss(c.about.ID)
	c.disconnect(lostClose)
}

// Message implements transport.Receiver.
func (c *caller) Message(data []byte, binary bool) error {
	calls := c.server.calls
	if binary && calls.gateway.Limits {
		return errBinary
	}
	c.server.metrics.messages.Add(1)
	select {
	case calls.slots <- struct{}{}:
	default:
		c.server.config.Log.Warn("too many messages are with the handlers at once", "connection", c.about.ID, "limit", maxCalls)
		c.post(app.AppendErrorFrame(nil, "Too Many Requests", c.about.ID, gateway.NewID()))
		return nil
	}
	reply := calls.api.Message(&c.about, data, binary)
	calls.start(func() {
		defer func() { <-calls.slots }()
		c.post(reply(calls.ctx))
	})
	return nil
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
	c.server.ended(c.about.ID, cause)
	c.disconnect(c.goodbye(cause))
}

// disconnect tells the handlers that the connection has ended, and how.
func (c *caller) disconnect(how ws.Close) {
	calls := c.server.calls
	calls.start(func() { calls.api.Disconnect(calls.ctx, &c.about, how.Code, how.Reason) })
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
