package wiretest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// close ends a connection in good order. With 1001 the session lingers.
func (p *player) close(c *liveClient) error {
	if c.peer == nil {
		return nil
	}
	if err := p.ready(c); err != nil {
		return err
	}
	code := pick(p, 1000, 1005, 1001)
	payload := ""
	if code != 1005 {
		payload = closing(uint16(code), "")
	}
	c.peer.closed = true
	p.note("%s closes connection %d with %d", c.name, c.peer.number, code)
	p.did(command{kind: "close", conn: c.peer.number, text: fmt.Sprint(code)})
	if c.peer.write(opClose, payload) == nil {
		select {
		case <-c.peer.done:
		case <-time.After(patience):
			return fmt.Errorf("%s closes connection %d with %d, and gets no answer", c.name, c.peer.number, code)
		}
	}
	if err := c.take(1e6); err != nil {
		return err
	}
	if code == 1001 {
		c.peer.goneAt = time.Now()
	} else if p.chance(2) {
		c.token = ""
	}
	p.loses(c)
	return nil
}

// kick ends a session over HTTP.
func (p *player) kick(c *liveClient) error {
	if c.peer == nil || c.peer.taken == 0 || !c.peer.alive() {
		return nil
	}
	kick := command{kind: "kick", resumes: c.peer.number, text: c.name}
	return p.ask(kick, "DELETE /@connections/"+c.id)
}

// request says something over HTTP.
func (p *player) request() error {
	p.said++
	topic, key := pick(p, p.topics...), pick(p, "p", "q")
	body := fmt.Sprintf(`{"n":%d}`, p.said)
	message := fmt.Sprintf(`{"n":%d,"_topic":"%s"`, p.said, topic)
	switch p.rnd.IntN(4) {
	case 0:
		return p.ask(command{kind: "request", text: message + "}"}, "POST /live?topic="+topic+"\n"+body)
	case 1:
		return p.ask(command{kind: "request", text: message + "}"}, "POST /publish?app=live&topic="+topic+"\n"+body)
	case 2:
		c := command{kind: "request", text: fmt.Sprintf(`%s,"_key":"%s"}`, message, key)}
		return p.ask(c, fmt.Sprintf("PUT /topics/%s/state/%s?app=live\n%s", topic, key, body))
	}
	c := command{kind: "request", text: fmt.Sprintf(`{"_topic":"%s","_key":"%s","_drop":true}`, topic, key)}
	return p.ask(c, fmt.Sprintf("DELETE /topics/%s/state/%s?app=live", topic, key))
}

// ask sends a request. Its answer is what a connection of its own received.
func (p *player) ask(c command, request string) error {
	a, err := p.server.tryAsk(request)
	if err != nil {
		return err
	}
	text := strings.TrimSpace(fmt.Sprint(a.status, " ", a.body))
	if a.status == 410 {
		text = "410"
	}
	p.note("%s: %s", strings.ReplaceAll(request, "\n", " "), text)
	done := make(chan struct{})
	close(done)
	c.conn = len(p.peers) + 1
	p.peers = append(p.peers, &peer{number: c.conn, owner: request, done: done, arrived: []received{{"http", text}}})
	p.did(c)
	return nil
}

// settle waits until everything has arrived, finds the explanation, and
// compares what each client knows with the model.
func (p *player) settle() error {
	for again := 5; ; again-- {
		if err := p.arrive(); err != nil {
			return err
		}
		// Somebody may have left since, which the model follows next time.
		if err := p.compare(); err == nil || again == 0 {
			return err
		}
	}
}

// arrive waits until everything has arrived, and finds the explanation.
func (p *player) arrive() error {
	p.note("everybody waits")
	if err := p.answered(); err != nil {
		return err
	}
	p.said++
	mark := fmt.Sprintf(`{"mark":%d,`, p.said)
	if err := p.marked(mark); err != nil {
		return err
	}
	return p.explain(mark)
}

// compare compares what each client knows with the model.
func (p *player) compare() error {
	for _, c := range append(slices.Clone(p.clients), p.witness) {
		if c.peer == nil {
			continue
		}
		if err := c.take(1e6); err != nil {
			return err
		}
		if !c.peer.alive() {
			p.loses(c)
			continue
		}
		for _, topic := range slices.Sorted(maps.Keys(c.views)) {
			if err := c.compare(p.x.world, topic, c.views[topic]); err != nil {
				return err
			}
		}
	}
	return p.once()
}

// everybody are the clients that have a connection.
func (p *player) everybody() (list []*liveClient) {
	for _, c := range append(slices.Clone(p.clients), p.witness) {
		if c.peer != nil {
			list = append(list, c)
		}
	}
	return list
}

// answered waits until the server has answered all that clients have sent: a
// bad message is always answered, after everything before it.
func (p *player) answered() error {
	p.said++
	id := fmt.Sprintf(`"_id":"settled %d"`, p.said)
	for _, c := range p.everybody() {
		if err := p.ready(c); err != nil {
			return err
		}
		p.send(c, "say", `{"_to":{},`+id+`}`)
	}
	for _, c := range p.everybody() {
		err := c.peer.await("the answer to "+id, func(frames []received) bool {
			return slices.ContainsFunc(frames, func(f received) bool { return f.stream == "error" && strings.Contains(f.text, id) })
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// marked waits until everybody has what was published so far in their topics:
// the witness says something in each, and that comes after it.
func (p *player) marked(mark string) error {

	for _, topic := range p.topics {
		p.send(p.witness, "say", fmt.Sprintf(`%s"_keep":false,"_topic":"%s"}`, mark, topic))
	}
	for _, c := range p.everybody() {
		for topic := range topicsIn(c.peer.frames()) {
			err := c.peer.await("the mark of "+topic, func(frames []received) bool {
				return slices.ContainsFunc(frames, func(f received) bool { return f.stream == topic && strings.HasPrefix(f.text, mark) })
			})
			if err != nil {
				return err
			}
		}
	}
	for _, old := range p.peers {
		if old.alive() && !slices.ContainsFunc(p.everybody(), func(c *liveClient) bool { return c.peer == old }) {
			if err := old.await("its end", func([]received) bool { return false }); err != nil {
				return err
			}
		}
	}
	return nil
}

// did notes what a client did.
func (p *player) did(c command) {
	p.all = append(p.all, c)
	p.x.add(c)
}

// explain lets the model follow. What it took for true before may be wrong, as
// nobody could see it then: whether a message was read before a connection was
// reset, for example. So if it cannot follow, it begins again.
func (p *player) explain(mark string) error {
	p.x.read(p.peers, mark)
	s := search{dead: make(map[uint64]bool)}
	x := s.solve(p.x)
	if x == nil {
		again := newExplanation(100, p.linger)
		for _, c := range p.all {
			again.add(c)
		}
		again.read(p.peers, mark)
		x = (&search{dead: make(map[uint64]bool)}).solve(again)
	}
	if x == nil {
		return fmt.Errorf("nothing explains what was received. The model got through %d frames, with\n  %s\nWhat could come next is\n%s",
			s.furthest, strings.Join(s.path, "\n  "), strings.Join(s.stuck, "\n"))
	}
	p.x = x
	return x.leftover()
}

// once checks that no message was published twice.
func (p *player) once() error {
	seen := make(map[string]bool)
	for _, r := range p.x.world.rooms {
		for _, e := range r.all {
			body, _, _ := strings.Cut(e.frame, `,"_`)
			if seen[body] {
				return fmt.Errorf("%s was published twice", body)
			}
			seen[body] = true
		}
	}
	return nil
}

// outlive waits until the sessions that linger have ended, as far as others
// can see that.
func (p *player) outlive() error {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for deadline := time.Now().Add(p.linger + patience); ; <-again.C {
		if err := p.settle(); err != nil {
			return err
		}
		s := p.lingers()
		if s == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("connection %d is gone, and its session never ended", s.conn)
		}
	}
}

// lingers returns a session that others see and that has no connection.
func (p *player) lingers() *liveSession {
	for conn := range p.x.world.conns {
		if s := p.x.world.of(conn); s.seen && len(s.topics) > 0 && (s.gone || p.x.readings[conn].cut) {
			return s
		}
	}
	return nil
}
