package transport

import (
	"net"
	"runtime"

	"crier/hub"
)

// A pump takes the turns of a shard whose connections are all streams.
type pump struct {
	shard *hub.Shard
	news  chan struct{} // a buffered signal: there is something to do
	stop  chan struct{}
}

func newPump(h *hub.Hub) *pump {
	p := &pump{news: make(chan struct{}, 1), stop: make(chan struct{})}
	p.shard = h.NewShard(p.wake)
	return p
}

func (p *pump) wake() {
	select {
	case p.news <- struct{}{}:
	default:
	}
}

func (p *pump) run() {
	for {
		select {
		case <-p.news:
			for p.shard.Turn(turn) {
				runtime.Gosched() // so that the readers, which cause the news, can run
			}
		case <-p.stop:
			return
		}
	}
}

func (p *pump) end() { close(p.stop) }

func (p *pump) serve(*Conn, net.Conn, []byte) bool { return false }
