package wiretest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"time"
)

// A step is what happens next in the random test: somebody does something,
// the details of which come from the seed. A step that is not possible when
// its turn comes does nothing, so that any part of a list of steps is one.
type step struct {
	do   string
	who  int // which client
	seed uint64
}

func (s step) String() string { return fmt.Sprintf("%s(%d, %d)", s.do, s.who, s.seed) }

// A player plays steps against a server, and has the model follow.
type player struct {
	server  server
	topics  []string
	linger  time.Duration
	clients []*liveClient
	witness *liveClient // who is told everything, and never leaves
	peers   []*peer
	x       *explanation
	all     []command // that clients did
	log     []string
	said    int // messages, so that each is another one
	rnd     *rand.Rand
}

const liveClients = 6

// newPlayer lets the witness in.
func (s server) newPlayer(linger time.Duration) (*player, error) {
	p := &player{server: s, linger: linger, x: newExplanation(100, linger), rnd: rand.New(rand.NewPCG(1, 1))}
	p.topics = []string{unique("a"), unique("b"), unique("c")}
	for i := range liveClients {
		p.clients = append(p.clients, newLiveClient(fmt.Sprint("client ", i)))
	}
	p.witness = newLiveClient("witness")
	v := url.Values{"topic": p.topics, "user": {"witness"}}
	p.witness.address = "/live?" + v.Encode()
	if err := p.connect(p.witness, "", ""); err != nil {
		return nil, err
	}
	return p, p.witness.peer.await("its greetings", func(frames []received) bool { return len(frames) >= 2*len(p.topics) })
}

func newLiveClient(name string) *liveClient {
	return &liveClient{name: name, views: make(map[string]*view), asked: make(map[string][]bool)}
}

// play does a step.
func (p *player) play(s step) error {
	p.rnd = rand.New(rand.NewPCG(s.seed, 7))
	c := p.clients[s.who]
	switch s.do {
	case "connect":
		return p.begin(c)
	case "say":
		return p.chat(c)
	case "read":
		return p.read(c)
	case "cut":
		p.cut(c)
	case "resume":
		return p.resume(c)
	case "close":
		return p.close(c)
	case "kick":
		return p.kick(c)
	case "request":
		return p.request()
	case "settle":
		return p.settle()
	case "wait":
		return p.outlive()
	}
	return nil
}

func (p *player) note(format string, args ...any) {
	p.log = append(p.log, fmt.Sprintf(format, args...))
}

// chance is true once in n times.
func (p *player) chance(n int) bool { return p.rnd.IntN(n) == 0 }

// pick returns one of a list.
func pick[T any](p *player, list ...T) T { return list[p.rnd.IntN(len(list))] }

// begin connects a client that has no session.
func (p *player) begin(c *liveClient) error {
	if c.peer != nil || c.token != "" {
		return nil
	}
	topics := slices.Clone(p.topics)
	p.rnd.Shuffle(len(topics), func(i, k int) { topics[i], topics[k] = topics[k], topics[i] })
	v := url.Values{"topic": topics[:pick(p, 1, 1, 2, 3)]}
	if user := pick(p, "ada", "ben", "cyd", ""); user != "" {
		v.Set("user", user)
	}
	switch p.rnd.IntN(8) { // a user who is there both seen and unseen is counted in some way or other: it is not tried
	case 0:
		v.Set("presence", "told")
		v.Set("user", c.name)
	case 1:
		v.Set("presence", "0")
		v.Set("user", c.name)
	case 2:
		v.Set("presence", "seen")
	case 3:
		v.Set("presence", "1")
	}
	if p.chance(6) {
		v.Set("echo", "0")
	}
	c.address = "/live?" + v.Encode()
	c.views, c.sent, c.started, c.wanders, c.unsure = make(map[string]*view), nil, 0, false, false
	for _, topic := range v["topic"] {
		c.asked[topic] = []bool{false}
	}
	last := ""
	if p.chance(2) {
		last = fmt.Sprintf("&last=%d", p.rnd.IntN(5))
	}
	return p.connect(c, last, "")
}

// connect opens a connection.
func (p *player) connect(c *liveClient, last, resume string) error {
	path := c.address + last + resume
	q, err := readQuery(path)
	if err != nil {
		return err
	}
	before := c.peer
	c.query = q
	if c.peer, err = p.server.dialPeer(len(p.peers)+1, c.name, path); err != nil {
		return fmt.Errorf("%s connects to %s: %w", c.name, path, err)
	}
	p.peers = append(p.peers, c.peer)
	p.note("%s connects to %s: connection %d", c.name, path, c.peer.number)
	open := command{kind: "open", conn: c.peer.number, query: q, text: path, resumes: -1}
	if resume != "" {
		open.resumes = c.tokenOf
	}
	if before != nil && before.alive() && resume != "" {
		p.note("  (which takes over connection %d)", before.number)
	}
	p.did(open)
	return nil
}

// chat sends a few messages, and reads nothing meanwhile.
func (p *player) chat(c *liveClient) error {
	if c.peer == nil {
		return nil
	}
	if err := p.ready(c); err != nil {
		return err
	}
	for range 1 + p.rnd.IntN(4) {
		p.said++
		if len(c.query.topics) == 1 && !c.wanders && p.chance(12) {
			p.send(c, "binary", fmt.Sprintf("%s %d", c.query.topics[0], p.said))
			continue
		}
		p.send(c, "say", p.message(c))
	}
	return nil
}

// send sends a message. If the server has ended the connection, it is lost.
func (p *player) send(c *liveClient, kind, text string) {
	op := byte(opText)
	if kind == "binary" {
		op = opBinary
	}
	err := c.peer.write(op, text)
	p.note("%s sends %s (%v)", c.name, text, orFine(err))
	p.did(command{kind: kind, conn: c.peer.number, text: text})
	c.sent = append(c.sent, kind+" "+text)
}

func orFine(err error) string {
	if err != nil {
		return err.Error()
	}
	return "sent"
}

// message makes up a message.
func (p *player) message(c *liveClient) string {
	topic := pick(p, p.topics...)
	if p.chance(2) {
		topic = c.query.topics[0]
	}
	members := []string{fmt.Sprintf(`"n":%d`, p.said), fmt.Sprintf(`"_topic":"%s"`, topic)}
	if !c.wanders && p.chance(3) { // to its first topic
		members = members[:1]
	}
	if p.chance(3) {
		members = append(members, fmt.Sprintf(`"_id":"i%d"`, p.said))
	}
	add := func(more ...string) { members = append(members, more...) }
	key := fmt.Sprintf(`"_key":"%s"`, pick(p, "p", "q"))
	switch p.rnd.IntN(20) {
	case 0, 1:
		add(`"_keep":false`)
	case 2, 3:
		add(key)
	case 4, 5:
		add(key, `"_tied":true`)
	case 6:
		add(key, `"_own":true`)
	case 7:
		add(key, `"_drop":true`)
	case 8:
		add(key, `"_drop":true`, pick(p, `"_own":true`, `"_tied":true`))
	case 9, 10:
		add(`"_to":` + p.addressees())
	case 11:
		add(`"_to":["witness",` + p.addressees() + `]`)
	case 12:
		return p.wander(c, topic)
	case 13:
		add(pick(p, `"_key":7`, `"_keep":"no"`, `"_tied":true`, `"_to":{}`))
	case 14:
		if !c.wanders {
			return pick(p, fmt.Sprint("text ", p.said), fmt.Sprintf(`[%d,{"_key":"none"}]`, p.said), fmt.Sprint(p.said))
		}
	}
	p.rnd.Shuffle(len(members), func(i, k int) { members[i], members[k] = members[k], members[i] })
	return "{" + strings.Join(members, ",") + "}"
}

// addressees is one, by its user or its id.
func (p *player) addressees() string {
	if c := pick(p, p.clients...); c.id != "" && p.chance(2) {
		return `"` + c.id + `"`
	}
	return pick(p, `"ada"`, `"ben"`, `"cyd"`, `"nobody"`)
}

// wander joins a topic or leaves it.
func (p *player) wander(c *liveClient, topic string) string {
	c.wanders = true
	if p.chance(2) {
		return fmt.Sprintf(`{"_leave":"%s"}`, topic)
	}
	v := c.views[topic]
	if v != nil && !v.in && v.last != "" && len(c.asked[topic]) == 0 && p.chance(2) {
		c.asked[topic] = append(c.asked[topic], true)
		return fmt.Sprintf(`{"_join":"%s","_since":"%s"}`, topic, v.last)
	}
	c.asked[topic] = append(c.asked[topic], false)
	return fmt.Sprintf(`{"_join":"%s","_last":%d}`, topic, p.rnd.IntN(4))
}

// read looks at some of what has arrived.
func (p *player) read(c *liveClient) error {
	if c.peer == nil {
		return nil
	}
	if err := p.look(c); err != nil {
		return err
	}
	return c.take(1 + p.rnd.IntN(20))
}

// cut ends a connection without a word: what was sent may be handled or not,
// and what was not read is lost.
func (p *player) cut(c *liveClient) {
	if c.peer == nil {
		return
	}
	abruptly := p.chance(2)
	c.peer.hangUp(abruptly)
	p.note("%s cuts connection %d, having taken %d frames (abruptly: %t)", c.name, c.peer.number, c.peer.taken, abruptly)
	p.loses(c)
}

// loses forgets the connection. A client that never saw a greeting has no
// session.
func (p *player) loses(c *liveClient) {
	for _, asked := range c.asked {
		c.unsure = c.unsure || len(asked) > 0
	}
	c.peer = nil
	c.asked = make(map[string][]bool)
}

// resume goes on with the session on another connection, also while the first
// one lives: that is taken over then.
func (p *player) resume(c *liveClient) error {
	if c.token == "" || c.peer != nil && c.peer.taken == 0 {
		return nil
	}
	since := p.since(c)
	for _, v := range c.views {
		v.in = false
	}
	c.resumes = true
	if err := p.connect(c, since, "&resume="+c.token); err != nil {
		return err
	}
	if p.chance(5) {
		return nil // and something else happens before it sees the greeting
	}
	return p.ready(c)
}

// ready makes a client that resumes look at the greeting. It sends again what
// was not taken before it sends anything else.
func (p *player) ready(c *liveClient) error {
	if !c.resumes {
		return nil
	}
	return p.look(c)
}

// look waits for the first greeting.
func (p *player) look(c *liveClient) error {
	if c.peer.taken > 0 {
		return nil
	}
	err := c.peer.await("a greeting", func(frames []received) bool { return len(frames) > 0 })
	if err != nil || len(c.peer.frames()) == 0 {
		return err
	}
	id := c.id
	if err := c.take(1); err != nil || !c.resumes {
		return err
	}
	c.resumes = false
	if c.id == id {
		return p.repeat(c)
	}
	c.sent, c.started = nil, 0
	return nil
}

// since says where a client goes on: where each topic got to, or where all
// did, or nowhere.
func (p *player) since(c *liveClient) string {
	whole, latest := !c.unsure, ""
	for _, v := range c.views {
		whole = whole && v.in && !v.replays
		latest = max(latest, v.last)
	}
	for _, asked := range c.asked {
		whole = whole && len(asked) == 0
	}
	c.asked, c.unsure = make(map[string][]bool), false
	for topic := range c.views {
		c.asked[topic] = []bool{false}
	}
	how, alone := p.rnd.IntN(5), c.wanders && len(c.query.topics) == 1 // where one offset is one for all
	switch {
	case how > 0 && (how < 3 || alone) && whole && len(c.views) >= len(c.query.topics):
		for topic := range c.views {
			c.asked[topic] = []bool{true}
		}
		return "&since=" + latest
	case how == 0 || alone:
		return ""
	}
	all := ""
	for _, topic := range c.query.topics {
		last := ""
		if v := c.views[topic]; v != nil {
			last = v.last
		}
		c.asked[topic] = []bool{last != ""}
		all += "&since=" + last
	}
	return all
}

// repeat sends again what the session has not taken before, going by said.
func (p *player) repeat(c *liveClient) error {
	var f liveFrame
	if err := json.Unmarshal([]byte(c.peer.frames()[0].text), &f); err != nil || f.Hello == nil {
		return fmt.Errorf("%s got no greeting: %s", c.name, c.peer.frames()[0].text)
	}
	confirmed := f.Hello.Said - c.started
	if confirmed < 0 || confirmed > len(c.sent) {
		return fmt.Errorf("%s is told that %d messages were taken, of %d", c.name, f.Hello.Said, c.started+len(c.sent))
	}
	again := c.sent[confirmed:]
	c.sent, c.started = nil, f.Hello.Said
	for _, message := range again {
		kind, text, _ := strings.Cut(message, " ")
		if strings.HasPrefix(text, `{"_join"`) {
			text = strings.Split(text, `,"_`)[0] + "}"
		}
		p.send(c, kind, text)
	}
	return nil
}
