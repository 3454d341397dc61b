package serve

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	wire "crier/client"
	"crier/hub"
	"crier/ws"
)

// A moody is a carrier that has no room for half of what it is given, and
// remembers what it has carried.
type moody struct {
	carrier
	mu     sync.Mutex
	frames []string
}

func (m *moody) Publish(p hub.Publication) error {
	if rand.IntN(2) == 0 {
		return hub.ErrBusy
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.frames = append(m.frames, string(ws.Payload(p.Frame)))
	return m.carrier.Publish(p)
}

func (m *moody) Retry() <-chan struct{} {
	now := make(chan struct{})
	close(now)
	return now
}

// TestOnceThoughBusy: clients come, speak, vanish and come back, and half of the
// time there is no room for what they cause. All of it happens once all the same.
func TestOnceThoughBusy(t *testing.T) {
	s := open(t, func(c *Config) { c.Linger = 5 * time.Millisecond })
	carrier := &moody{carrier: s.home.carrier}
	s.home.carrier = carrier
	var clients sync.WaitGroup
	for i := range 12 {
		clients.Go(func() { moodyClient(t, s, i) })
	}
	clients.Wait()
	empty(t, s)
	said, state, here := make(map[string]int), make(map[string]int), make(map[string]bool)
	for _, text := range carrier.frames {
		var frame struct {
			N     string
			Topic string               `json:"_topic"`
			From  string               `json:"_from"`
			Join  *struct{ ID string } `json:"_join"`
			Leave *struct{ ID string } `json:"_leave"`
			Tied  bool                 `json:"_tied"`
			Drop  bool                 `json:"_drop"`
		}
		if err := json.Unmarshal([]byte(text), &frame); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		tied := frame.Topic + " " + frame.From
		switch {
		case frame.Join != nil:
			if id := frame.Topic + " " + frame.Join.ID; here[id] {
				t.Errorf("came twice: %s", text)
			} else {
				here[id] = true
			}
		case frame.Leave != nil:
			id := frame.Topic + " " + frame.Leave.ID
			if !here[id] || state[id] > 0 {
				t.Errorf("was not here, or has state: %s", text)
			}
			here[id] = false
		case frame.Tied && frame.Drop:
			if state[tied]--; state[tied] != 0 {
				t.Errorf("dropped: %s", text)
			}
		case frame.Tied:
			if state[tied]++; state[tied] != 1 {
				t.Errorf("%d times: %s", state[tied], text)
			}
		default:
			if said[frame.N]++; said[frame.N] != 1 {
				t.Errorf("%d times: %s", said[frame.N], text)
			}
		}
	}
	for id, is := range here {
		if is {
			t.Errorf("%s did not leave", id)
		}
	}
}

// moodyClient is a client that hears an answer to each of its messages.
func moodyClient(t *testing.T, s *Server, i int) {
	resume := ""
	for round := range 12 {
		c, err := wire.Dial(t.Context(), fmt.Sprintf("%s/live?topic=t%d&user=u%d&presence=seen&resume=%s", s.URL(), rand.IntN(3), i%5, resume), wire.Handshake{})
		if err != nil {
			continue // there was no room to say that it has come
		}
		greetings, answers := 1, 0
		var messages []string
		for k := range rand.IntN(4) {
			messages = append(messages, fmt.Sprintf(`{"n":"%d %d %d"}`, i, round, k))
			answers++
		}
		if resume == "" {
			messages = append(messages, `{"_key":"k","_tied":true}`)
			answers++
		}
		for _, text := range messages {
			c.Write([]byte(text), false)
		}
		c.Write([]byte(`{"_join":"t9"}`), false)
		greetings++
		for greetings > 0 || answers > 0 {
			data, _, err := c.Next()
			if err != nil {
				t.Errorf("%v", err)
				return
			}
			var frame struct {
				Hello *greeting `json:"_hello"`
				Ready bool      `json:"_ready"`
			}
			json.Unmarshal(data, &frame)
			switch text := string(data); {
			case frame.Hello != nil:
				resume = frame.Hello.Resume
			case frame.Ready:
				greetings--
			case strings.HasSuffix(text, `"_me":true}`) && strings.Contains(text, fmt.Sprintf(`"n":"%d %d `, i, round)), strings.HasSuffix(text, `"_me":true}`) && strings.Contains(text, `_tied`):
				answers--
			}
		}
		switch rand.IntN(3) {
		case 0:
			c.Goodbye(ws.Close{Code: 1000})
		case 1:
			defer c.HangUp() // the next connection takes over
			continue
		}
		c.HangUp()
	}
}
