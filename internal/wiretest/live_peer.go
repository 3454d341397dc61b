package wiretest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// A peer is one connection of the random test. It keeps what arrives; the
// client looks at it when its turn comes.
type peer struct {
	number int
	owner  string
	nc     net.Conn
	done   chan struct{} // closed when nothing more will arrive
	goneAt time.Time     // when the client cut it, or closed it with 1001

	mu      sync.Mutex
	arrived []received
	err     error // why nothing more will arrive, unless a close frame says so

	// Owned by the test.
	taken  int  // the client has looked at arrived[:taken]
	cut    bool // and will look at no more
	closed bool // the client has sent a close frame
}

// A received frame belongs to a stream: a topic, "error", "close" or "http".
type received struct{ stream, text string }

// dialPeer connects to a path of /live.
func (s server) dialPeer(number int, owner, path string) (*peer, error) {
	nc, err := s.connect()
	if err != nil {
		return nil, err
	}
	nc.SetDeadline(time.Now().Add(time.Hour))
	in := bufio.NewReader(nc)
	if _, err = io.WriteString(nc, s.request(path)); err == nil {
		err = welcomed(in)
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	p := &peer{number: number, owner: owner, nc: nc, done: make(chan struct{})}
	go p.listen(in)
	return p, nil
}

// welcomed reads the answer to a handshake. A refusal is an error that tells
// the sentence.
func welcomed(in *bufio.Reader) error {
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return err
	}
	if resp.StatusCode != 101 {
		sentence, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("the handshake got %s: %s", resp.Status, sentence)
	}
	return nil
}

// listen keeps what arrives, until the end of the stream.
func (p *peer) listen(in *bufio.Reader) {
	defer close(p.done)
	for {
		f, err := readFrame(in)
		if err != nil {
			p.mu.Lock()
			p.err = err
			p.mu.Unlock()
			p.nc.Close()
			return
		}
		switch f.op {
		case opPing:
			p.nc.Write(appendFrame(nil, true, opPong, f.payload))
			continue
		case opPong:
			continue
		case opClose:
			p.nc.Write(appendFrame(nil, true, opClose, f.payload))
		}
		p.keep(f)
	}
}

func (p *peer) keep(f frame) {
	r := received{text: f.String()}
	switch f.op {
	case opText:
		r.text = string(f.payload)
		r.stream = streamOf(f.payload)
	case opBinary: // which the test begins with the name of the topic
		r.stream, _, _ = strings.Cut(string(f.payload), " ")
	case opClose:
		r.stream = "close"
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.arrived = append(p.arrived, r)
}

// streamOf returns the topic of a frame, or "error".
func streamOf(payload []byte) string {
	var f struct {
		Topic *string `json:"_topic"`
	}
	if json.Unmarshal(payload, &f) != nil || f.Topic == nil {
		return "error"
	}
	return *f.Topic
}

// say sends a text.
func (p *peer) say(text string) error { return p.write(opText, text) }

func (p *peer) write(op byte, payload string) error {
	_, err := p.nc.Write(appendFrame(nil, true, op, []byte(payload)))
	return err
}

// frames returns what has arrived.
func (p *peer) frames() []received {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.arrived[:len(p.arrived):len(p.arrived)]
}

// hangUp cuts the connection: the client never sees what it has not taken.
// Abruptly, the server may lose what it has not read.
func (p *peer) hangUp(abruptly bool) {
	if abruptly {
		reset(p.nc)
	}
	p.nc.Close()
	<-p.done
	p.cut, p.goneAt = true, time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.arrived = p.arrived[:p.taken]
}

// alive reports whether more may arrive.
func (p *peer) alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// await waits until something has arrived. It returns early, without an error,
// if the stream ends.
func (p *peer) await(what string, has func([]received) bool) error {
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for deadline := time.Now().Add(patience); ; <-again.C {
		over := !p.alive()
		frames := p.frames()
		if has(frames) || over {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s (connection %d) never got %s. Its last frames:\n%s", p.owner, p.number, what, lastOf(frames))
		}
	}
}

// lastOf writes the last frames.
func lastOf(frames []received) string {
	var out strings.Builder
	for _, f := range frames[max(0, len(frames)-8):] {
		fmt.Fprintf(&out, "  ← %.300s\n", f.text)
	}
	return out.String()
}

// topics returns the topics that a connection is in, going by what arrived.
func topicsIn(frames []received) (list map[string]bool) {
	list = make(map[string]bool)
	own := ""
	for _, r := range frames {
		var f liveFrame
		if r.stream == "error" || r.stream == "close" || json.Unmarshal([]byte(r.text), &f) != nil {
			continue
		}
		switch {
		case f.Hello != nil:
			own = f.Hello.ID
			list[r.stream] = true
		case f.Leave != nil && f.Leave.ID == own:
			delete(list, r.stream)
		}
	}
	return list
}

// A liveFrame is what a client understands of a frame.
type liveFrame struct {
	Hello *struct {
		ID, User, Resume, Offset string
		Missed                   bool
		Said, Count              int
		Here                     []face
	} `json:"_hello"`
	Ready  bool    `json:"_ready"`
	Join   *face   `json:"_join"`
	Leave  *face   `json:"_leave"`
	Topic  string  `json:"_topic"`
	User   string  `json:"_user"`
	From   string  `json:"_from"`
	Offset string  `json:"_offset"`
	Key    *string `json:"_key"`
	Tied   bool    `json:"_tied"`
	Own    bool    `json:"_own"`
	Drop   bool    `json:"_drop"`
	Me     bool    `json:"_me"`
}

// A face is somebody in a topic.
type face struct{ ID, User string }
