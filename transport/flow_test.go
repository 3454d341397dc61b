package transport

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"crier/hub"
	"crier/ws"
)

func TestEveryoneHears(t *testing.T) {
	eachWay(t, Config{}, hub.Config{}, func(w *world) {
		ann, bob := w.dial(), w.dial()
		ann.say("one")
		ann.say("two")
		ann.send(masked(ws.Binary, "\xff"))
		for _, c := range []*client{ann, bob} {
			c.hears("one", "two")
			if m, err := c.next(); m.Op != ws.Binary || string(m.Data) != "\xff" {
				w.Errorf("got %v %q, %v; want the binary message", m.Op, m.Data, err)
			}
		}
		w.eventually("six deliveries", func() bool { return w.hub.Stats().Delivered == 6 })
	})
}

func TestInputByteByByte(t *testing.T) {
	eachWay(t, Config{}, hub.Config{}, func(w *world) {
		ann := w.dial()
		input := masked(ws.Text, "hällo")
		input = append(input, masked(ws.Ping, "p")...)
		input = append(input, masked(ws.Text, strings.Repeat("x", 300))...)
		for i := range input {
			ann.send(input[i : i+1])
		}
		ann.hears("hällo")
		if m, err := ann.next(); m.Op != ws.Pong || string(m.Data) != "p" {
			w.Errorf("got %v %q, %v; want the pong", m.Op, m.Data, err)
		}
		ann.hears(strings.Repeat("x", 300))
	})
}

func TestEarlyInputAndEarlyNews(t *testing.T) {
	eachWay(t, Config{}, hub.Config{}, func(w *world) {
		ann, served := w.pair()
		ann.ear = w.newEar()
		w.dial().say("before the socket")
		w.eventually("news in the log", func() bool { return w.hub.Stats().LogBytes > 0 })
		w.transport.Serve(&ann.ear.Conn, w.wrap(served), masked(ws.Text, "behind the handshake"))
		ann.hears("before the socket", "behind the handshake")
	})
}

// TestPlace: neighbours share a worker, and no worker has much more than its share.
func TestPlace(t *testing.T) {
	tr := &Transport{workers: make([]worker, 4), load: make([]int, 4)}
	open := func(near uint64) int {
		i := tr.place(near)
		tr.load[i]++
		tr.conns.add(new(Conn))
		return i
	}
	for near := range uint64(100) {
		for range 10 {
			if got := open(near); got != int(near%4) {
				t.Fatalf("neighbour %d is placed at %d", near, got)
			}
		}
	}
	for range 10_000 {
		open(1)
	}
	for i, load := range tr.load {
		if share := tr.conns.n / 4; load > share*5/4+32 || load < share*3/4 {
			t.Errorf("worker %d has %d connections, its share is %d", i, load, share)
		}
	}
}

// TestChurn: while people come and go, those who stay hear everything once and in order.
func TestChurn(t *testing.T) {
	const messages = 300
	eachWay(t, Config{}, hub.Config{}, func(w *world) {
		listener := w.dial()
		speakers := []*client{w.dial(), w.dial(), w.dial()}
		for _, s := range speakers {
			go func() { io.Copy(io.Discard, s) }()
		}
		stop := make(chan struct{})
		churned := make(chan int)
		go func() {
			n := 0
			for ; ; n++ {
				select {
				case <-stop:
					churned <- n
					return
				default:
				}
				c := w.dial()
				c.send(masked(ws.Text, "hello")[:n%11])
				c.SetLinger(n % 2 * 10)
				c.Close()
				c.ear.ended()
			}
		}()
		for i, s := range speakers {
			go func() {
				for k := range messages {
					s.send(masked(ws.Text, fmt.Sprintf("%d %d", i, k)))
				}
			}()
		}
		next := make([]int, len(speakers))
		for range messages * len(speakers) {
			m, err := listener.next()
			if err != nil {
				w.Fatal(err)
			}
			if string(m.Data) == "hello" {
				continue
			}
			var i, k int
			if _, err := fmt.Sscan(string(m.Data), &i, &k); err != nil || next[i] != k {
				w.Fatalf("heard %q, want number %d (%v)", m.Data, next[i], err)
			}
			next[i]++
		}
		close(stop)
		if n := <-churned; n == 0 {
			w.Error("nobody came and went")
		}
	})
}
