package wiretest

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A crowd is many clients in one topic, some of whom come and go all the time.
type crowd struct {
	server server
	topic  string
	stay   []*peer
	opened int
}

// testLiveCrowd: while some of a crowd come and go, those who stay know at any
// time who is there: in the end their lists are the one that a greeting tells.
func (s server) testLiveCrowd(t *testing.T, staying, changing int, length time.Duration) {
	c := &crowd{server: s, topic: unique("crowd")}
	for range staying {
		p, err := c.enter()
		if err != nil {
			t.Fatal(err)
		}
		c.stay = append(c.stay, p)
	}
	defer func() {
		for _, p := range c.stay {
			p.nc.Close()
			<-p.done
		}
	}()
	rounds := 0
	for start := time.Now(); time.Since(start) < length; rounds++ {
		second := time.NewTimer(time.Second)
		if err := c.change(changing); err != nil {
			t.Fatal(err)
		}
		<-second.C
	}
	last, err := c.enter()
	if err != nil {
		t.Fatal(err)
	}
	c.stay = append(c.stay, last)
	if err := c.compare(last); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d times %d clients came and went, among %d", rounds, changing, staying)
}

// enter connects a client that is seen and told.
func (c *crowd) enter() (*peer, error) {
	c.opened++
	v := url.Values{"topic": {c.topic}, "user": {fmt.Sprint("user ", c.opened)}}
	return c.server.dialPeer(c.opened, v.Get("user"), "/live?"+v.Encode())
}

// change lets many come, and go again.
func (c *crowd) change(many int) error {
	var guests []*peer
	for range many {
		p, err := c.enter()
		if err != nil {
			return err
		}
		guests = append(guests, p)
	}
	var leaving sync.WaitGroup
	for _, p := range guests {
		leaving.Go(func() {
			p.write(opClose, closing(1000, ""))
			<-p.done
		})
	}
	leaving.Wait()
	return nil
}

// compare compares everybody's list with the greeting of who came last.
func (c *crowd) compare(last *peer) error {
	if err := last.say(`{"_keep":false,"end":1}`); err != nil {
		return err
	}
	var want view
	for _, p := range slices.Backward(c.stay) {
		err := p.await("the end", func(frames []received) bool {
			return len(frames) > 0 && slices.ContainsFunc(frames[max(0, len(frames)-3):], func(f received) bool {
				return strings.HasPrefix(f.text, `{"end":1,`)
			})
		})
		if err != nil {
			return err
		}
		got, err := listOf(p)
		if err != nil {
			return fmt.Errorf("%s: %w", p.owner, err)
		}
		if p == last {
			want = got
		}
		if err := sameList(got, want); err != nil {
			return fmt.Errorf("%s: %w", p.owner, err)
		}
	}
	return nil
}

// listOf goes through the joins and leaves that a client was told.
func listOf(p *peer) (v view, err error) {
	for _, r := range p.frames() {
		var f liveFrame
		if err := json.Unmarshal([]byte(r.text), &f); err != nil {
			return v, err
		}
		switch {
		case f.Hello != nil:
			v.here, v.replays = f.Hello.Here, true
		case f.Ready:
			v.replays = false
		case f.Join != nil:
			if slices.Contains(v.here, *f.Join) {
				return v, fmt.Errorf("%v joins, and was there", *f.Join)
			}
			v.joins(*f.Join)
		case f.Leave != nil:
			if !slices.Contains(v.here, *f.Leave) {
				return v, fmt.Errorf("%v leaves, and was not there", *f.Leave)
			}
			v.leaves(*f.Leave, "")
		}
	}
	return v, nil
}

func sameList(got, want view) error {
	for i := range max(len(got.here), len(want.here)) {
		var g, w face
		if i < len(got.here) {
			g = got.here[i]
		}
		if i < len(want.here) {
			w = want.here[i]
		}
		if g != w {
			return fmt.Errorf("number %d of %d here is %v, want %v", i, len(want.here), g, w)
		}
	}
	return nil
}
