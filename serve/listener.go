package serve

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"runtime"
	"sync"
	"time"

	"crier/access"
	"crier/app"
	"crier/door"
	"crier/hub"
	"crier/ws"
)

// listeners are the clients that listen to topics of live over HTTP: as
// server-sent events, without being seen. They have a shard of their own.
// https://html.spec.whatwg.org/multipage/server-sent-events.html
type listeners struct {
	home  *home
	shard *hub.Shard
	news  chan struct{}   // a buffered signal: the shard should take a turn
	ctx   context.Context // done when the server ends
	stop  context.CancelFunc

	mu   sync.Mutex
	open int           // listeners
	left chan struct{} // closed when the server ends and there are none

	cutOff chan struct{} // closed when those there are must go
}

func newListeners(h *home) *listeners {
	ls := &listeners{home: h, news: make(chan struct{}, 1), left: make(chan struct{}), cutOff: make(chan struct{})}
	ls.ctx, ls.stop = context.WithCancel(context.Background())
	ls.shard = h.hub.NewShard(func() {
		select {
		case ls.news <- struct{}{}:
		default:
		}
	})
	return ls
}

// run takes the turns of the shard until the server ends and all listeners have
// ended.
func (ls *listeners) run() {
	for {
		select {
		case <-ls.news:
			for ls.shard.Turn(64) {
				runtime.Gosched()
			}
		case <-ls.left:
			return
		}
	}
}

// enter counts a listener, unless the server ends. leave must follow. The
// listener must go when cutOff is closed.
func (ls *listeners) enter() (cutOff <-chan struct{}, ok bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.ctx.Err() != nil {
		return nil, false
	}
	ls.open++
	return ls.cutOff, true
}

func (ls *listeners) leave() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.open--
	if ls.ctx.Err() != nil && ls.open == 0 {
		close(ls.left)
	}
}

// count returns how many listeners there are.
func (ls *listeners) count() int {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return ls.open
}

// end ends all listeners.
func (ls *listeners) end() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.stop()
	if ls.open == 0 {
		close(ls.left)
	}
}

// cut ends all listeners there are, whose clients must go to other servers.
func (ls *listeners) cut() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	close(ls.cutOff)
	ls.cutOff = make(chan struct{})
}

// A listener is one of these clients.
type listener struct {
	home     *home
	nc       net.Conn
	member   hub.Member
	endpoint endpoint
	session  *session // nobody sees it, and nobody can resume it

	woken  chan struct{}   // a buffered signal: there is something to write
	cutOff <-chan struct{} // closed when the client must go to another server
	ctx    context.Context // done when the client has gone, or has to go
	hangUp context.CancelFunc
}

// Wake implements hub.Conn. A listener that has fallen behind gives up what it
// holds at once, although it may be in the middle of a write. Its client connects
// again, and says where it was.
func (l *listener) Wake() {
	if l.member.Behind() {
		l.hangUp()
		l.member.Leave()
	}
	select {
	case l.woken <- struct{}{}:
	default:
	}
}

// listen answers a request with what happens in its topics.
func (h *home) listen(w http.ResponseWriter, r *http.Request, may *access.Grant) *door.Refusal {
	query, no := queryOf(r)
	if no != nil {
		return no
	}
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		query["since"] = []string{id}
	}
	address, wrong := app.Live{}.Address(query, false)
	if wrong != "" {
		return rejected(wrong)
	}
	if may != nil {
		if wrong := address.Unheard(may); wrong != "" {
			return forbidden(wrong)
		}
	}
	cutOff, ok := h.listeners.enter()
	if !ok {
		return &door.ShuttingDown
	}
	defer h.listeners.leave()
	if h.keptOut(may.Name()) { // signed out just before it would have been cut off
		return &door.KeptOut
	}
	if no := h.upToDate(r.Context()); no != nil {
		return no
	}
	if !h.connections.admit() {
		return &door.TooManyConnections
	}
	defer h.connections.dismiss()
	hijacker, ok := w.(http.Hijacker)
	if !ok {
		return rejected("events need HTTP/1.1")
	}
	l := &listener{home: h, woken: make(chan struct{}, 1), cutOff: cutOff}
	l.ctx, l.hangUp = context.WithCancel(h.listeners.ctx)
	if may != nil && !may.Expires.IsZero() {
		defer time.AfterFunc(time.Until(may.Expires), l.hangUp).Stop()
	}
	defer l.hangUp()
	l.session = &session{home: h, id: door.NewID(), watches: true}
	l.endpoint = endpoint{session: l.session, member: &l.member, close: func(error) { l.hangUp() }, told: address.Told}
	l.session.at = &l.endpoint
	h.listeners.shard.Join(&l.member, l)
	l.member.Exact()
	defer l.leave()
	if no := l.enter(address.Entries); no != nil {
		return no
	}
	nc, _, err := hijacker.Hijack()
	if err != nil {
		return rejected("events need a connection of their own")
	}
	defer nc.Close()
	l.nc = nc
	l.serve(r)
	return nil
}

func (l *listener) enter(entries []app.Entry) *door.Refusal {
	s := l.session
	s.mu.Lock()
	defer s.mu.Unlock()
	defer l.home.lockPlaces()()
	if no := l.home.placesIn(entries, s); no != nil {
		return no
	}
	for _, e := range entries {
		if s.enter(e) != nil {
			return &door.Busy
		}
	}
	return nil
}

// leave takes the listener out of its rooms, and out of the hub.
func (l *listener) leave() {
	s := l.session
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.rooms) > 0 {
		s.leave(s.rooms[0].name, "left") // nobody has to be told, so it cannot fail
	}
	l.member.Leave()
}

const eventHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nX-Accel-Buffering: no\r\nConnection: close\r\n"

// serve writes what there is until the client or the server has gone.
func (l *listener) serve(r *http.Request) {
	head := eventHead
	if origin := r.Header.Get("Origin"); origin != "" { // the door has let it in
		head += "Access-Control-Allow-Origin: " + origin + "\r\nVary: Origin\r\n"
	}
	l.nc.SetDeadline(time.Time{})
	defer context.AfterFunc(l.ctx, func() { l.nc.Close() })() // a write may wait for the client
	var reading sync.WaitGroup
	reading.Go(func() { // until the client closes the connection
		io.Copy(io.Discard, l.nc)
		l.hangUp()
	})
	defer reading.Wait()
	defer l.nc.Close()
	if !l.write([]byte(head + "\r\n")) {
		return
	}
	silence := l.home.config.Ping
	if silence == 0 {
		silence = time.Hour
	}
	timer := time.NewTimer(silence)
	defer timer.Stop()
	for l.ctx.Err() == nil && !closed(l.cutOff) {
		text, err := l.pending()
		if err != nil {
			return // the client connects again, and says where it was
		}
		if len(text) == 0 {
			select {
			case <-l.woken:
				continue
			case <-timer.C:
				text = []byte(":\n\n") // a comment, so that the client knows that we are here
			case <-l.ctx.Done():
				return
			case <-l.cutOff:
				return
			}
		}
		if !l.write(text) {
			return
		}
		timer.Reset(silence)
	}
}

func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// listenerPatience is how long a write to a listener may take.
const listenerPatience = 30 * time.Second

func (l *listener) write(text []byte) bool {
	l.nc.SetWriteDeadline(time.Now().Add(listenerPatience))
	_, err := l.nc.Write(text)
	return err == nil
}

// maxEvents is about how many bytes are written at once.
const maxEvents = 64 << 10

// pending takes what the hub has for the listener, as events.
func (l *listener) pending() (text []byte, err error) {
	var mem hub.Memory
	batch, err := l.member.Pending(&mem, maxEvents)
	if err != nil {
		return nil, err
	}
	for _, frames := range batch.Frames {
		for len(frames) > 0 {
			frame := ws.First(frames)
			frames = frames[len(frame):]
			text = appendEvent(text, frame)
		}
	}
	if batch.Bytes > 0 {
		l.member.Advance(batch, batch.Bytes)
	}
	return text, nil
}

// appendEvent appends an event for a frame. Binary messages cannot be told.
func appendEvent(dst, frame []byte) []byte {
	if ws.IsBinary(frame) {
		return dst
	}
	text := ws.Payload(frame)
	if offset := app.OffsetOf(text); offset != "" {
		dst = append(dst, "id: "...)
		dst = append(dst, offset...)
		dst = append(dst, '\n')
	}
	dst = append(dst, "data: "...)
	dst = append(dst, oneLine(text)...)
	return append(dst, "\n\n"...)
}

// oneLine returns a JSON text without line breaks. They can only be white space
// between its tokens.
func oneLine(text []byte) []byte {
	if !bytes.ContainsAny(text, "\n\r") {
		return text
	}
	return bytes.Map(func(r rune) rune {
		if r == '\n' || r == '\r' {
			return ' '
		}
		return r
	}, text)
}
