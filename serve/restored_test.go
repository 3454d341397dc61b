package serve

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"crier/app"
	"crier/cluster"
	"crier/door"
)

// A chronicler makes up what happens on several servers.
type chronicler struct {
	rnd      *rand.Rand
	terms    terms
	sessions int
	epochs   []uint64 // of each session's connection
	at       []cluster.Server
	beat     uint64
	now      int64
}

func (c *chronicler) pick(list ...string) string { return list[c.rnd.IntN(len(list))] }

func (c *chronicler) topic() string { return c.pick("a", "b", "c") }

// next returns the next event.
func (c *chronicler) next(t *testing.T) *cluster.Event {
	c.now += c.rnd.Int64N(300)
	e := &cluster.Event{Kind: cluster.Record, Server: cluster.Server(1 + c.rnd.IntN(3))}
	switch n := c.rnd.IntN(40); {
	case n < 3:
		c.sessions++
		c.epochs, c.at = append(c.epochs, 1), append(c.at, e.Server)
		e.Data = arrives(fmt.Sprint("s", c.sessions), c.topic())
	case n < 10:
		e.Kind = cluster.Beat
		c.beat++
	case n == 10:
		e.Kind = cluster.Left
	case n == 11:
		t := c.terms
		t.States, t.History, t.HistoryBytes = 500+c.rnd.IntN(6000), c.rnd.IntN(10), c.rnd.IntN(3000)
		t.Histories, t.Keys = 500+c.rnd.IntN(5000), 1+c.rnd.IntN(6)
		e.Data = agrees(uint64(c.rnd.IntN(1e6)), &t)
	case n == 12:
		e.Data = packer{forgotten}
		(*packer)(&e.Data).text(c.topic())
	case n == 13:
		e.Data = packer{evicted}
		(*packer)(&e.Data).text(c.topic())
	case n < 18 || c.sessions == 0:
		var state *door.State
		if c.rnd.IntN(2) == 0 {
			state = &door.State{Key: c.pick("k", "l", "m"), Drop: c.rnd.IntN(3) == 0}
		}
		e.Data = says(t, c.topic(), `{"v":"`+strings.Repeat("v", c.rnd.IntN(600))+`"}`, state)
	default:
		c.act(e, c.rnd.IntN(c.sessions))
	}
	e.Now, e.Beat = c.now, c.beat
	return e
}

// departs is the record of the loss of a session's connection.
func departs(id string, epoch uint64, lingers bool) packer {
	rec := packer{departed}
	rec.text(id)
	rec.number(epoch)
	rec.text("lost")
	rec.flag(lingers)
	return rec
}

// resumes is the record of a session that goes on.
func resumes(id, topic string) packer {
	rec := arrives(id, topic)
	rec[1] = 1
	return rec
}

// act makes e something that a session does.
func (c *chronicler) act(e *cluster.Event, s int) {
	id := fmt.Sprint("s", s+1)
	rec := packer{ordered}
	switch c.rnd.IntN(10) {
	case 0:
		rec = departs(id, c.epochs[s], c.rnd.IntN(2) == 0)
		e.Server = c.at[s]
	case 1, 2:
		rec = resumes(id, c.topic())
		c.epochs[s]++
		c.at[s] = e.Server
	default:
		e.Server = c.at[s]
		o := new(app.Order)
		key := `"_key":"` + c.pick("k", "l", "m") + `"`
		text := fmt.Sprintf(`{"v":"%s",%s,"_topic":"%s"}`, strings.Repeat("v", c.rnd.IntN(600)),
			c.pick(key, key+`,"_tied":true`, key+`,"_own":true`, key+`,"_drop":true`, key+`,"_tied":true,"_drop":true`, `"_keep":false`, `"x":1`), c.topic())
		if c.rnd.IntN(6) == 0 {
			text = fmt.Sprintf(`{"_%s":"%s"}`, c.pick("join", "leave"), c.topic())
		}
		app.Live{}.Message(o, app.Event{
			Kind: app.Message, Conn: &app.Conn{ID: id, Identity: app.Identity{User: id}, Topics: []string{"a", "b", "c"}},
			Now: c.now, Data: []byte(text),
		})
		rec.text(id)
		rec.number(c.epochs[s])
		rec.order(o)
	}
	e.Data = rec
}

// TestRestoredReplica: a server that starts from what others know goes on as they
// do.
func TestRestoredReplica(t *testing.T) {
	for seed := range uint64(20) {
		c := &chronicler{rnd: rand.New(rand.NewPCG(seed, 9)), now: 1e12}
		change := func(config *Config) {
			config.Linger, config.HistoryAge, config.IdleTopics = 5*time.Second, 10*time.Second, 20*time.Second
		}
		x, y := newReplica(t, change), newReplica(t, change)
		c.terms = *x.home.terms.Load()
		for _, each := range []replica{x, y} {
			each.tell(1, agrees(seed, &c.terms))
		}
		for i := range 3000 {
			e := c.next(t)
			again := *e
			x.Apply(e)
			y.Apply(&again)
			if i%100 != 0 {
				continue
			}
			saved := x.Save(nil)
			if !bytes.Equal(y.Save(nil), saved) {
				t.Fatalf("seed %d: the server that was restored knows something else after %d events", seed, i)
			}
			if err := y.Restore(saved); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestLingersTwiceInABeat: a session that is resumed and lost again within a beat
// ends in the place of its second loss, also on a server that has started in
// between.
func TestLingersTwiceInABeat(t *testing.T) {
	x, y := newReplica(t, nil), newReplica(t, nil)
	x.tell(1, agrees(7, x.home.terms.Load()))
	for _, rec := range []packer{arrives("ada", "a"), arrives("ben", "a"), departs("ada", 1, true), resumes("ada", "a")} {
		x.tell(1, rec)
	}
	if err := y.Restore(x.Save(nil)); err != nil {
		t.Fatal(err)
	}
	for _, rec := range []packer{departs("ben", 1, true), departs("ada", 2, true)} {
		x.tell(1, rec)
		y.tell(1, rec)
	}
	if !bytes.Equal(x.Save(nil), y.Save(nil)) {
		t.Error("the servers do not agree about who ends first")
	}
}
