//go:build !linux

package transport

import "crier/hub"

func (t *Transport) newWorker() (worker, *hub.Shard, error) {
	p := newPump(t.config.Hub)
	return p, p.shard, nil
}
