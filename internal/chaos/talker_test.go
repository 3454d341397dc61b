//go:build linux

package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"crier/client"
)

// A talker is a client of an app without a memory: broadcast, or rooms. It hears
// what is said while it is connected.
type talker struct {
	name   string
	topic  string // all that it hears is of this one
	rooms  bool
	client *client.Client
	crowd  *crowd

	mu      sync.Mutex
	heard   [][]id // on each connection
	own     map[id]bool
	sent    []sent
	sending int
}

const talkTopics = 2

// listen starts clients of other apps. They come through a balancer.
func (s *storm) listen() {
	balancer := s.crowd.balance()
	for i := range 8 {
		o := &talker{
			name: fmt.Sprint("t", i), topic: fmt.Sprint("talk", i%talkTopics), rooms: i >= 5,
			crowd: s.crowd, own: make(map[id]bool),
		}
		options := options()
		options.Message, options.State = o.hear, o.turns
		address := balancer + "/"
		if o.rooms {
			address = balancer + "/rooms?user=" + o.name
			options.First = []string{fmt.Sprintf(`{"action":"subscribe","topic":%q}`, o.topic)}
		} else {
			options.Topics = []string{o.topic}
		}
		var err error
		if o.client, err = client.Connect(context.Background(), address, options); err != nil {
			s.t.Fatal(err)
		}
		s.others = append(s.others, o)
		seed := s.rand.Uint64()
		s.talking.Go(func() { o.speak(s.ctx, seed) })
	}
}

func (o *talker) turns(_ *client.Client, s client.Status) {
	if s.State == client.Open {
		o.mu.Lock()
		o.heard = append(o.heard, nil)
		o.mu.Unlock()
	}
}

func (o *talker) hear(_ *client.Client, m client.Message) {
	var f struct {
		text
		Me bool `json:"_me"`
	}
	json.Unmarshal(m.Data, &f)
	if f.P == "" {
		return // an answer
	}
	o.crowd.hears()
	o.mu.Lock()
	defer o.mu.Unlock()
	i := id{f.P, f.N}
	last := len(o.heard) - 1
	o.heard[last] = append(o.heard[last], i)
	if f.Me {
		o.own[i] = true
	}
}

func (o *talker) speak(ctx context.Context, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 12))
	for {
		select {
		case <-time.After(time.Duration(100+rnd.IntN(400)) * time.Millisecond):
		case <-ctx.Done():
			return
		}
		o.mu.Lock()
		o.sending++
		i := id{o.name, o.sending}
		o.mu.Unlock()
		data := fmt.Sprintf(`{"p":%q,"n":%d}`, i.player, i.n)
		if o.rooms {
			data = fmt.Sprintf(`{"action":"broadcast","topic":%q,"payload":%s}`, o.topic, data)
		}
		fate := o.client.Send(data)
		o.mu.Lock()
		o.sent = append(o.sent, sent{id: i, fate: fate})
		o.mu.Unlock()
	}
}

// app returns the name of the talker's app and topic.
func (o *talker) app() string { return fmt.Sprint(o.rooms, o.topic) }

// balance starts a balancer, which leads each connection to the next server. It
// returns its address.
func (c *crowd) balance() string {
	t := c.fleet.t
	l, err := net.Listen("tcp", proxyHost+":0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { c.lead(in) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		running.Wait()
	})
	return "ws://" + l.Addr().String()
}

// lead leads a connection to the next server.
func (c *crowd) lead(in net.Conn) {
	defer in.Close()
	address, err := c.address(context.Background())
	if err != nil {
		return
	}
	host := strings.TrimSuffix(strings.TrimPrefix(address, "ws://"), "/live")
	out, err := net.DialTimeout("tcp", host, time.Second)
	if err != nil {
		return
	}
	defer out.Close()
	var copying sync.WaitGroup
	for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
		copying.Go(func() {
			if _, err := io.Copy(way[0], way[1]); err != nil {
				way[0].Close() // a connection that was lost must not look like one that was ended
			}
			way[0].(*net.TCPConn).CloseWrite()
		})
	}
	copying.Wait()
}
