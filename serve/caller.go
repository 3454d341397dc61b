package serve

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"crier/access"
	"crier/api"
	"crier/app"
	"crier/door"
	"crier/hub"
	"crier/transport"
	"crier/ws"
)

// Why a caller's connection ends under API Gateway's limits.
var (
	errBinary = errors.New("serve: binary messages are not allowed")
	errTooOld = errors.New("serve: the connection has lived for as long as it may")
)

// A caller is a client of the user's own API. It passes events on to the
// handlers.
type caller struct {
	connection connection

	// Set once.
	calls    *calls
	about    *api.Connection
	protocol string
	expiry   *time.Timer // closes the connection when its lifetime is over; nil if that is unlimited

	// Guarded by connection.mu.
	asked   int         // messages that the handlers have not answered
	leaving error       // why the connection ends after the last answer; nil while it is open
	grace   *time.Timer // ends the wait for answers; nil if leaving is nil
}

// call asks the handlers about a handshake that has been admitted. Of what its client
// may do, they decide; who it is and when that ends holds for it, too.
func (h *home) call(r *http.Request, id string, may *access.Grant) (door.Socket, *door.Refusal) {
	if no := h.calls.enter(id); no != nil {
		h.connections.dismiss()
		return nil, no
	}
	defer h.calls.leave()
	c := &caller{calls: h.calls}
	s := &c.connection
	var client *who
	if may != nil {
		client = &who{Identity: app.Identity{User: may.User}, may: may}
	}
	s.open(r, &h.own, id, client)
	c.about = &api.Connection{
		ID:        id,
		Domain:    strings.Clone(r.Host), // a clone, so that it does not keep the whole request in memory
		SourceIP:  s.sourceIP(),
		UserAgent: s.userAgent.Value(),
		Connected: time.UnixMilli(s.connected),
	}
	said := h.calls.api.Connect(h.calls.ctx, c.about, api.Handshake{
		Header: r.Header,
		Query:  r.URL.Query(),
		Spell:  door.Spell(r),
	})
	if said.Status != http.StatusOK {
		h.connections.dismiss()
		no := door.HandlerRefused
		no.Status, no.Body = said.Status, said.Body
		return nil, &no
	}
	c.protocol = said.Protocol
	if err := h.transport.Open(&s.conn, c, 0); err != nil {
		h.calls.announce(ending{c.about, door.GoingAway.Close()})
		return nil, &door.ShuttingDown
	}
	// Until now a post got 410, as in API Gateway. From now on a post waits for
	// the 101, so that a client that has the 101 can be posted to.
	s.begin()
	return c, nil
}

// Protocol implements door.Socket.
func (c *caller) Protocol() string { return c.protocol }

// Serve implements door.Socket.
func (c *caller) Serve(nc net.Conn, early []byte) {
	if life := c.calls.life; life > 0 {
		c.expiry = time.AfterFunc(life, func() { c.connection.conn.Close(errTooOld) })
	}
	c.connection.mount.home.serve(&c.connection, nc, early)
}

// Abandon implements door.Socket. The handlers know of the connection
// already, so they get its $disconnect event.
func (c *caller) Abandon() { c.connection.mount.home.transport.Abandon(&c.connection.conn) }

// Message implements transport.Receiver.
func (c *caller) Message(data []byte, binary bool) error {
	calls := c.calls
	if binary && calls.own.Limits {
		return errBinary
	}
	c.connection.mount.home.metrics.messages.Add(1)
	c.connection.spend(1, len(data))
	if !calls.take(c.about) {
		c.connection.mount.home.config.Log.Debug("too many messages are with the handlers",
			"connection", c.about.ID, "pending", c.about.Pending())
		c.post(tooMany(c.about.ID))
		return nil
	}
	reply := calls.api.Message(c.about, data, binary)
	c.connection.mu.Lock()
	c.asked++
	c.connection.mu.Unlock()
	go func() { // calls.end waits for it
		defer calls.done()
		c.post(reply(calls.ctx))
		c.answered()
	}()
	return nil
}

// answered notes that the handlers are done with a message.
func (c *caller) answered() {
	c.connection.mu.Lock()
	defer c.connection.mu.Unlock()
	if c.asked--; c.asked == 0 && c.leaving != nil {
		c.connection.conn.Close(c.leaving)
	}
}

// Leaving implements transport.Receiver. The answers to the client's messages
// are sent before the close frame.
func (c *caller) Leaving(cause error) bool {
	c.connection.mu.Lock()
	defer c.connection.mu.Unlock()
	if c.asked == 0 || errors.Is(cause, transport.ErrGoingAway) {
		return false
	}
	c.leaving = cause
	c.grace = time.AfterFunc(answersGrace, func() { c.connection.conn.Close(cause) })
	return true
}

// post sends data to the client, if it is not nil. If too much waits for the
// client already, data is lost and the client is disconnected.
func (c *caller) post(data []byte) {
	if data != nil && errors.Is(c.connection.conn.Member.Post(frameOf(data)), hub.ErrFull) {
		c.connection.conn.Close(transport.ErrFlooded)
	}
}

// Closed implements transport.Receiver.
func (c *caller) Closed(cause error) {
	if c.expiry != nil {
		c.expiry.Stop()
	}
	c.connection.mu.Lock()
	if c.leaving != nil {
		c.grace.Stop()
		if errors.Is(cause, transport.ErrLost) {
			cause = c.leaving // the client did not wait for the answers
		}
	}
	c.connection.mu.Unlock()
	c.connection.ended(cause)
	c.calls.announce(ending{c.about, c.goodbye(cause)})
}

// Explain implements transport.Receiver. Its reasons are sentences without a
// name, as API Gateway's are.
func (c *caller) Explain(cause error) ws.Close {
	no := explain(cause)
	if errors.Is(cause, transport.ErrIdle) && c.calls.own.Limits {
		no = door.TooOld // API Gateway gives the same reason for both
	}
	no.AWS = true
	return no.Close()
}

// lostClose is the close that handlers are given for a connection that ended
// without a close frame. "1006 is a reserved value … to indicate that the
// connection was closed abnormally". RFC 6455, section 7.4.1
var lostClose = ws.Close{Code: ws.Abnormal, Reason: "Connection closed abnormally"}

// goodbye returns the code and the reason that the handlers are given.
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
