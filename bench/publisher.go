package bench

import (
	"context"
	"time"

	"crier/ws"
)

// publish sends the next message of a publisher. It returns false if the connection has failed.
func (r *run) publish(p int, at time.Duration, frame []byte) (reuse []byte, ok bool) {
	message := appendMessage(nil, r.id, p, r.sent[p].Load(), at, r.config.Size)
	frame = ws.AppendMaskedFrame(frame[:0], ws.Text, [4]byte{}, message) // a zero mask changes nothing
	r.sent[p].Add(1)
	return frame, r.subscribers[p].conn.WriteFrames(frame) == nil
}

// keepRate has one publisher speak at a steady pace, which begins at a moment of its own.
func (r *run) keepRate(ctx context.Context, p int) {
	interval := time.Duration(float64(time.Second) / r.config.Rate)
	due := time.Since(r.start) + interval*time.Duration(p)/time.Duration(r.config.Publishers)
	var frame []byte
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(due - time.Since(r.start))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		ok := true
		for now := time.Since(r.start); ok && due <= now && ctx.Err() == nil; due += interval {
			frame, ok = r.publish(p, due, frame)
		}
		if !ok {
			return
		}
	}
}

// keepWindow keeps as many messages under way as the window says, from the publishers in turn.
func (r *run) keepWindow(ctx context.Context) {
	var frame []byte
	subscribers := uint64(len(r.subscribers))
	sent, ok := uint64(0), true
	for p := 0; ok; {
		for ok && ctx.Err() == nil && sent*subscribers < r.received.Load()+uint64(r.config.Window)*subscribers {
			frame, ok = r.publish(p, time.Since(r.start), frame)
			sent++
			p = (p + 1) % r.config.Publishers
		}
		select {
		case <-r.room:
		case <-ctx.Done():
			return
		}
	}
}
