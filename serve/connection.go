package serve

import (
	"errors"
	"hash/maphash"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"crier/app"
	"crier/gateway"
	"crier/hub"
	"crier/transport"
	"crier/ws"
)

// A connection is a client of one app: it asks the app what should happen and carries it out.
type connection struct {
	transport.Conn

	// Set once.
	mount     *mount
	sourceIP  string
	userAgent string
	connected int64 // milliseconds since 1970

	mu     sync.Mutex // before the hub's locks
	state  app.Conn
	listed int // bytes of lists that it got since it was last held
}

// Causes of a connection's end that the management API has.
var (
	errDeleted      = errors.New("serve: the connection was deleted")
	errTopicRemoved = errors.New("serve: the last topic of the connection was removed")
)

// A peer is a connection of whatever kind, as others on the server see it.
type peer interface {
	transport.Receiver
	// socket returns what it is connected by.
	socket() *transport.Conn
	// app returns the name of its mount.
	app() string
	// info returns what is told of it.
	info() gateway.Info
}

func (c *connection) socket() *transport.Conn { return &c.Conn }
func (c *connection) app() string             { return c.mount.Name }

// Connect implements gateway.Sockets.
func (s *Server) Connect(r *http.Request, at gateway.Mount, id string) (gateway.Socket, *gateway.Refusal) {
	if !s.admit() {
		return nil, &gateway.TooManyConnections
	}
	if at.Name == ownMount {
		return s.call(r, id)
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil { // without what is wrong in it, it would be another topic's
		s.dismiss()
		no := gateway.Rejected.Saying("the query is not understood: " + err.Error())
		return nil, &no
	}
	c := &connection{
		mount:     s.mountsNamed(at.Name)[0],
		sourceIP:  sourceIP(r),
		userAgent: strings.Clone(r.UserAgent()), // not with the whole request behind it
		connected: time.Now().UnixMilli(),
	}
	c.state.ID = id
	m := scratches.Get().(*scratch)
	defer m.free()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ask(m, app.Event{Kind: app.Connect, Query: query, Header: r.Header})
	near := c.mount.Name
	for _, e := range m.effects {
		switch e.Do {
		case app.Reject:
			s.dismiss()
			no := gateway.Rejected.Saying(string(e.Data))
			return nil, &no
		case app.Subscribe:
			near = c.mount.Name + "/" + e.Topic
		}
	}
	if err := s.transport.Open(&c.Conn, c, maphash.String(s.seed, near)); err != nil {
		s.dismiss()
		return nil, &gateway.ShuttingDown
	}
	if err := c.apply(m); err != nil {
		c.Abandon()
		return nil, &gateway.Busy
	}
	s.register(id, c)
	s.config.Log.Debug("connected", "connection", id, "app", c.mount.Name, "remote", r.RemoteAddr)
	return c, nil
}

func sourceIP(r *http.Request) string {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	return host
}

// admit makes room for a connection, if there is any. dismiss gives it back.
func (s *Server) admit() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.admitted >= s.config.MaxConnections {
		return false
	}
	s.admitted++
	return true
}

func (s *Server) register(id string, p peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.connections[id] = p
}

// unregister takes back register.
func (s *Server) unregister(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.connections, id)
}

func (s *Server) dismiss() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.admitted--
}

// ended unregisters a connection that was served, and tells why it has ended.
func (s *Server) ended(id string, cause error) {
	s.unregister(id)
	how := endName(cause)
	s.metrics.closed(how)
	s.config.Log.Debug("disconnected", "connection", id, "why", how, "cause", cause)
}

// Protocol implements gateway.Socket: the apps have no subprotocols.
func (c *connection) Protocol() string { return "" }

// Serve implements gateway.Socket.
func (c *connection) Serve(nc net.Conn, early []byte) {
	c.mount.server.handshakes.Add(1)
	c.mount.server.transport.Serve(&c.Conn, nc, early)
}

// Abandon implements gateway.Socket.
func (c *connection) Abandon() {
	c.mount.server.transport.Abandon(&c.Conn)
	c.mount.server.unregister(c.state.ID)
	c.mount.server.dismiss()
}

// Message implements transport.Receiver.
func (c *connection) Message(data []byte, binary bool) error {
	err := c.handle(app.Event{Kind: app.Message, Data: data, Binary: binary})
	if !errors.Is(err, hub.ErrBusy) {
		c.mount.server.metrics.messages.Add(1)
	}
	if errors.Is(err, hub.ErrFull) {
		return transport.ErrFlooded
	}
	return err
}

// Closed implements transport.Receiver.
func (c *connection) Closed(cause error) {
	c.handle(app.Event{Kind: app.Disconnect}) // the apps publish nothing then
	c.mount.server.ended(c.state.ID, cause)
	c.mount.server.dismiss()
}

// Explain implements transport.Receiver.
func (c *connection) Explain(cause error) ws.Close { return explain(cause).Close() }

// Leaving implements transport.Receiver: all answers are posted already.
func (c *connection) Leaving(error) bool { return false }

// noMemoryEver is said of a message that is within the limit, but not with its
// stamps and in all of its topics.
const noMemoryEver = "the server's memory is too small for this message"

// explain returns the refusal that a client is told when its connection ends because of cause.
func explain(cause error) gateway.Refusal {
	var fault ws.Close
	switch {
	case errors.Is(cause, hub.ErrBehind):
		return gateway.FellBehind
	case errors.Is(cause, hub.ErrTooLarge):
		return gateway.MessageTooBig.Saying(noMemoryEver)
	case errors.Is(cause, transport.ErrFlooded):
		return gateway.Flooded
	case errors.Is(cause, transport.ErrIdle):
		return gateway.IdleTooLong
	case errors.Is(cause, transport.ErrSilent):
		return gateway.NoPong
	case errors.Is(cause, transport.ErrGoingAway):
		return gateway.GoingAway
	case errors.Is(cause, transport.ErrUnending):
		return gateway.MessageTimeout
	case errors.Is(cause, transport.ErrRestless):
		return gateway.ControlFlood
	case errors.Is(cause, transport.ErrNoMemory):
		return gateway.NoMemory
	case errors.Is(cause, errDeleted):
		return gateway.ClosedByDelete
	case errors.Is(cause, errTopicRemoved):
		return gateway.TopicRemoved
	case errors.Is(cause, errBinary):
		return gateway.BinaryRefused
	case errors.Is(cause, errTooOld):
		return gateway.TooOld
	case errors.As(cause, &fault) && fault.Code == ws.InvalidPayload:
		return gateway.InvalidUTF8.Saying(fault.Reason)
	case errors.As(cause, &fault) && fault.Code == ws.TooBig:
		return gateway.MessageTooBig.Saying(fault.Reason)
	case errors.As(cause, &fault) && fault.Code == ws.PolicyViolation:
		return gateway.EmptyFragments.Saying(fault.Reason)
	case errors.As(cause, &fault):
		return gateway.ProtocolError.Saying(fault.Reason)
	}
	return gateway.ProtocolError.Saying(cause.Error())
}

// endName names the way a connection ended, for the metric and the log.
func endName(cause error) string {
	var bye transport.Goodbye
	switch {
	case errors.As(cause, &bye):
		return "client"
	case errors.Is(cause, transport.ErrLost):
		return "lost"
	}
	return explain(cause).Name
}

// scratch is memory for one event.
type scratch struct {
	effects []app.Effect
	topics  []hub.Topic
	frame   []byte
	mine    []byte
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// maxScratch is how many bytes of a frame are kept for the next event.
const maxScratch = 64 << 10

func (m *scratch) free() {
	if cap(m.frame) <= maxScratch && cap(m.mine) <= maxScratch {
		scratches.Put(m)
	}
}

// handle tells the app what happened and carries out what it asks for. It returns hub.ErrBusy, when nothing has
// happened yet, or hub.ErrFull.
func (c *connection) handle(ev app.Event) error {
	m := scratches.Get().(*scratch)
	defer m.free()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ask(m, ev)
	return c.apply(m)
}

// ask puts the effects of an event into m. It requires c.mu.
func (c *connection) ask(m *scratch, ev app.Event) {
	ev.Conn = &c.state
	ev.Now = time.Now().UnixMilli()
	m.effects = c.mount.app.Handle(m.effects[:0], ev)
}

// apply carries out the effects in m. It requires c.mu.
func (c *connection) apply(m *scratch) error {
	for i := range m.effects {
		if err := c.do(m, &m.effects[i]); err != nil {
			return err
		}
	}
	return nil
}

func (c *connection) do(m *scratch, e *app.Effect) error {
	switch e.Do {
	case app.Publish:
		return c.publish(m, e)
	case app.Subscribe:
		c.subscribe(e.Topic)
	case app.Unsubscribe:
		c.unsubscribe(e.Topic)
	case app.Post:
		return c.post(e.Data)
	case app.PostMembers:
		return c.postMembers(e.Topic)
	case app.Reject:
		return c.post(app.AppendErrorFrame(nil, string(e.Data), c.state.ID, gateway.NewID()))
	}
	return nil
}

func (c *connection) publish(m *scratch, e *app.Effect) error {
	m.topics = appendTopics(m.topics[:0], c.mount, e.Topics)
	m.frame = ws.AppendFrame(m.frame[:0], opcode(e.Binary), e.Data)
	p := hub.Publication{From: &c.Member, Topics: m.topics, Frame: m.frame}
	switch {
	case e.Mine == nil:
	case len(e.Mine) == 0:
		p.Echo = hub.EchoNone
	default:
		m.mine = ws.AppendFrame(m.mine[:0], opcode(e.Binary), e.Mine)
		p.Echo, p.Own = hub.EchoOwn, m.mine
	}
	return c.mount.server.hub.Publish(p)
}

func appendTopics(dst []hub.Topic, m *mount, names []string) []hub.Topic {
	for _, name := range names {
		dst = append(dst, hub.Topic{App: m.Name, Name: name})
	}
	return dst
}

func opcode(binary bool) ws.Opcode {
	if binary {
		return ws.Binary
	}
	return ws.Text
}

// everyoneOnly is what most connections are subscribed to. Shared: never changed.
var everyoneOnly = []string{app.Everyone}

func (c *connection) subscribe(topic string) {
	if !c.Member.Subscribe(hub.Topic{App: c.mount.Name, Name: topic}) {
		return
	}
	if topic == app.Everyone && c.state.Topics == nil {
		c.state.Topics = everyoneOnly
		return
	}
	c.state.Topics = append(c.state.Topics, strings.Clone(topic)) // not with the whole query behind it
}

// unsubscribe reports whether the connection was in the topic.
func (c *connection) unsubscribe(topic string) bool {
	if !c.Member.Unsubscribe(hub.Topic{App: c.mount.Name, Name: topic}) {
		return false
	}
	kept := make([]string, 0, len(c.state.Topics)) // info hands out the old one
	for _, name := range c.state.Topics {
		if name != topic {
			kept = append(kept, name)
		}
	}
	c.state.Topics = kept
	return true
}

// post sends a message to the connection alone.
func (c *connection) post(data []byte) error {
	err := c.Member.Post(frameOf(data))
	if errors.Is(err, hub.ErrGone) {
		return nil // it is leaving: nobody is there to be told
	}
	return err
}

// frameOf frames data as text if it is text.
func frameOf(data []byte) []byte {
	return ws.AppendFrame(make([]byte, 0, len(data)+10), opcode(!utf8.Valid(data)), data)
}

// What a list of members costs: a few bytes can ask for 125 kB, and for a walk
// through everyone who is there. So a client gets listRate bytes of lists in a
// second; if it asks for more it is not read for a while.
const (
	listRate  = 1 << 20
	listBurst = 32 << 10 // bytes that it gets before it is held
)

func (c *connection) postMembers(topic string) error {
	list := c.members(topic)
	if c.listed += len(list); c.listed >= listBurst {
		c.Hold(time.Duration(c.listed) * time.Second / listRate)
		c.listed = 0
	}
	return c.post(list)
}

func (c *connection) members(topic string) []byte {
	var ids []string
	more := false
	c.mount.server.hub.Members(hub.Topic{App: c.mount.Name, Name: topic}, func(conn hub.Conn) bool {
		if len(ids) == app.MaxMembers {
			more = true
			return false
		}
		ids = append(ids, connectionOf(conn).state.ID)
		return true
	})
	return app.AppendMembers(nil, ids, more)
}

func connectionOf(conn hub.Conn) *connection { return conn.(*transport.Conn).Receiver().(*connection) }
