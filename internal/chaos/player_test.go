//go:build linux

package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"crier/client"
)

// A text is what players send, and the members of frames that count here.
type text struct {
	P     string `json:"p,omitempty"` // the player that sent it
	N     int    `json:"n,omitempty"` // its number
	Pad   string `json:"pad,omitempty"`
	Keep  *bool  `json:"_keep,omitempty"`
	Topic string `json:"_topic,omitempty"`
	Key   string `json:"_key,omitempty"`
	Tied  bool   `json:"_tied,omitempty"`
}

// A frame is a frame of live as it is received.
type frame struct {
	text
	Offset string `json:"_offset"`
	Hello  *struct {
		Offset string `json:"offset"`
		Missed bool   `json:"missed"`
	} `json:"_hello"`
}

// place returns the part of an offset that ascends: what follows the epoch.
func place(offset string) string {
	_, number, _ := strings.Cut(offset, "-")
	return number
}

// An id is that of a message.
type id struct {
	player string
	n      int
}

func (i id) String() string { return fmt.Sprintf("%s/%d", i.player, i.n) }

// A heard is a message that was received.
type heard struct {
	place string
	id    id
}

// A stretch is what a player has received of a topic without a gap: all that was
// kept after a place.
type stretch struct {
	after string // empty: it begins with its first message
	list  []heard
	left  bool // the player has left the topic
	again bool // it begins after a gap that was told
}

// A sent is a message that a player has sent.
type sent struct {
	id   id
	text text
	fate <-chan client.Fate
	told string // what has come from fate
}

// A player is a client of live.
type player struct {
	name   string
	topics []string
	client *client.Client
	crowd  *crowd

	mu        sync.Mutex
	stretches map[string][]*stretch
	replaying map[string]bool
	last      string         // the place of the last frame outside of replays on this connection
	passing   map[id]bool    // messages that are not kept
	keys      map[string]int // the last message for each key of a topic and sender
	faults    []string
	leaves    bool            // it may end
	out       map[string]bool // topics that it may have left
	moved     map[string]bool // topics that it has ever left
	sent      []sent
	n         int
}

// A crowd is all players.
type crowd struct {
	fleet *fleet
	rand  *rand.Rand // of the test's goroutine
	begun int        // players

	mu      sync.Mutex
	turn    int
	heard   time.Time // the last message, by anybody
	silence time.Duration
	total   int // messages received
}

// address returns the next server's address.
func (c *crowd) address(context.Context) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for range c.fleet.nodes {
		c.turn++
		if url := c.fleet.nodes[c.turn%len(c.fleet.nodes)].address(); url != "" {
			return url + "/live", nil
		}
	}
	return "", fmt.Errorf("no server is there")
}

// hears notes that somebody has received a message just now.
func (c *crowd) hears() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if !c.heard.IsZero() {
		c.silence = max(c.silence, now.Sub(c.heard))
	}
	c.heard = now
	c.total++
}

const (
	hotTopics   = 4
	quietTopics = 200
	topicsEach  = 14 // quiet ones
)

func hot(i int) string   { return fmt.Sprint("hot", i) }
func quiet(i int) string { return fmt.Sprint("quiet", i) }

// options are for all clients: they notice soon that a server is frozen.
func options() client.Options {
	return client.Options{
		Timeout: 4 * time.Second, Heartbeat: 2 * time.Second, Queue: 100_000,
		Retry: [2]time.Duration{100 * time.Millisecond, time.Second},
	}
}

// join makes a player, which has two of the busy topics, and some quiet ones.
func (c *crowd) join(ctx context.Context) *player {
	p := &player{
		name: fmt.Sprint("p", c.begun), crowd: c,
		stretches: make(map[string][]*stretch), replaying: make(map[string]bool),
		passing: make(map[id]bool), keys: make(map[string]int), out: make(map[string]bool), moved: make(map[string]bool),
	}
	c.begun++
	first := c.rand.IntN(hotTopics)
	p.topics = []string{hot(first), hot((first + 1) % hotTopics)}
	for _, i := range c.rand.Perm(quietTopics)[:topicsEach] {
		p.topics = append(p.topics, quiet(i))
	}
	o := options()
	o.Topics, o.User = p.topics, p.name
	o.Live = &client.Live{Address: c.address}
	o.Message, o.State = p.hear, p.turns
	var err error
	if p.client, err = client.Connect(ctx, "", o); err != nil {
		c.fleet.t.Fatal(err)
	}
	return p
}

// leave ends the player's client.
func (p *player) leave() {
	p.mu.Lock()
	p.leaves = true
	p.mu.Unlock()
	p.client.Close()
}

func (p *player) fault(format string, args ...any) {
	if len(p.faults) < 20 {
		p.faults = append(p.faults, p.name+": "+fmt.Sprintf(format, args...))
	}
}

// turns is told the client's states. Places begin anew with each connection.
func (p *player) turns(_ *client.Client, s client.Status) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.State == client.Open {
		p.last = ""
		clear(p.replaying)
	}
	if s.State == client.Closed && !p.leaves {
		p.fault("it does not come back after: %v", s.Ended)
	}
}

// hear takes note of a frame.
func (p *player) hear(_ *client.Client, m client.Message) {
	var f frame
	json.Unmarshal(m.Data, &f)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch m.Kind {
	case client.Hello:
		p.replaying[m.Topic] = true
		if s := p.stretch(m.Topic); s == nil || s.left || f.Hello.Missed {
			s := &stretch{again: s != nil && !s.left}
			if !f.Hello.Missed {
				s.after = place(f.Hello.Offset)
			}
			p.stretches[m.Topic] = append(p.stretches[m.Topic], s)
		}
		return
	case client.Ready:
		p.replaying[m.Topic] = false
		if s := p.stretch(m.Topic); s != nil && s.after == "" && len(s.list) == 0 {
			s.after = place(f.Offset)
		}
		return
	case client.Failed:
		p.fault("it is told %s", m.Data)
		return
	}
	if f.Offset != "" && !p.replaying[m.Topic] {
		if place(f.Offset) <= p.last {
			p.fault("%s comes after %s", m.Data, p.last)
		}
		p.last = place(f.Offset)
	}
	if s := p.stretch(m.Topic); m.Kind == client.Left && m.From == p.client.ID() && s != nil {
		s.left = true
	}
	if m.Kind == client.Said && f.P != "" {
		p.crowd.hears()
		p.said(m, &f)
	}
}

// said takes note of a message.
func (p *player) said(m client.Message, f *frame) {
	i := id{f.P, f.N}
	switch {
	case f.Key != "":
		key := fmt.Sprint(m.Topic, f.Key, f.Tied, f.P)
		if f.N <= p.keys[key] && p.keys[key] > 0 && !p.replaying[m.Topic] {
			p.fault("state %s comes after number %d", m.Data, p.keys[key])
		}
		p.keys[key] = f.N
	case f.Offset == "":
		if p.passing[i] {
			p.fault("%.100s comes twice", m.Data)
		}
		p.passing[i] = true
	default:
		s := p.stretch(m.Topic)
		if s == nil {
			p.fault("%s comes before a greeting", m.Data)
			return
		}
		at := place(f.Offset)
		if n := len(s.list); n > 0 && s.list[n-1].place >= at || at <= s.after {
			p.fault("%s comes after %v in its topic, which began after %q", m.Data, s.list[max(0, n-1):], s.after)
		}
		s.list = append(s.list, heard{at, i})
	}
}

// stretch returns the last stretch of a topic.
func (p *player) stretch(topic string) *stretch {
	if list := p.stretches[topic]; len(list) > 0 {
		return list[len(list)-1]
	}
	return nil
}

// speak sends messages until ctx is done.
func (p *player) speak(ctx context.Context, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 11))
	for {
		select {
		case <-time.After(time.Duration(100+rnd.IntN(400)) * time.Millisecond):
		case <-ctx.Done():
			return
		}
		if rnd.IntN(30) == 0 {
			p.move(ctx, p.topics[2+rnd.IntN(topicsEach)])
		} else {
			p.say(rnd)
		}
	}
}

// move leaves a topic, and joins it again.
func (p *player) move(ctx context.Context, topic string) {
	p.mu.Lock()
	out := p.out[topic]
	p.out[topic], p.moved[topic] = true, true // it is not certain from now on
	p.mu.Unlock()
	if out {
		return
	}
	if !p.confirms(ctx, p.client.Topic(topic).Leave()) {
		return
	}
	p.mu.Lock()
	if s := p.stretch(topic); s != nil {
		s.left = true // if the connection was lost meanwhile, no frame says so
	}
	p.mu.Unlock()
	if !p.confirms(ctx, p.client.Topic(topic).Join(0)) {
		return
	}
	p.mu.Lock()
	p.out[topic] = false
	p.mu.Unlock()
}

func (p *player) confirms(ctx context.Context, fate <-chan client.Fate) bool {
	select {
	case how := <-fate:
		return how == client.Confirmed
	case <-ctx.Done():
		return false
	}
}

var pad = strings.Repeat("x", 3000)

func (p *player) say(rnd *rand.Rand) {
	p.mu.Lock()
	p.n++
	t := text{P: p.name, N: p.n, Topic: p.topics[rnd.IntN(2)]}
	other := p.topics[2+rnd.IntN(topicsEach)]
	out := p.out[other]
	p.mu.Unlock()
	switch rnd.IntN(10) {
	case 0:
		t.Keep, t.Pad = new(bool), pad
	case 1:
		t.Key = "k"
	case 2:
		t.Key, t.Tied = "cursor", true
	case 3, 4, 5:
		if !out {
			t.Topic = other
		}
	}
	data, _ := json.Marshal(t)
	fate := p.client.Send(string(data))
	p.mu.Lock()
	p.sent = append(p.sent, sent{id: id{p.name, t.N}, text: t, fate: fate})
	p.mu.Unlock()
}

// here returns who is in a topic as the player sees it, the oldest first.
func (p *player) here(topic string) (ids []string) {
	for _, m := range p.client.Topic(topic).Here() {
		ids = append(ids, m.ID)
	}
	return ids
}

// state returns the state of a topic as the player sees it, as text.
func (p *player) state(topic string) string {
	var lines []string
	for k, m := range p.client.Topic(topic).State() {
		var f frame
		json.Unmarshal(m.Data, &f)
		lines = append(lines, fmt.Sprint(k, " ", f.P, "/", f.N))
	}
	slices.Sort(lines)
	return strings.Join(lines, "; ")
}
