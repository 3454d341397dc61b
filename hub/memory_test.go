package hub

import (
	"fmt"
	"runtime"
	"testing"
	"weak"
)

// A collector tells which of a hub's chunks the garbage collector has yet to
// free.
type collector struct {
	hub    *Hub
	chunks []weak.Pointer[chunk]
}

// note notes the newest chunk of a topic.
func (c *collector) note(name string) {
	chunks := c.hub.topics[Topic{App: "app", Name: name}].log.chunks
	c.chunks = append(c.chunks, weak.Make(chunks[len(chunks)-1]))
}

// alive returns how many bytes the chunks take that are in memory.
func (c *collector) alive() (bytes int) {
	runtime.GC()
	seen := make(map[*chunk]bool)
	for _, p := range c.chunks {
		if chunk := p.Value(); chunk != nil && !seen[chunk] {
			seen[chunk] = true
			bytes += chunk.footprint()
		}
	}
	return bytes
}

// TestReadMessagesAreFreed: what everybody has read is not kept alive by what
// the shards have seen of it.
func TestReadMessagesAreFreed(t *testing.T) {
	h := newHub(t, Config{Backlog: 64 << 10, Memory: 256 << 10})
	s, other := newShard(h), newShard(h)
	logs := collector{hub: h}
	slow, quick := join(s, "slow", "a"), join(other, "quick", "a")
	for range 60 {
		h.Publish(Publication{Topics: names("a"), Frame: make([]byte, 500)})
		logs.note("a")
		settle(s, other)
		quick.readAll()
	}
	if err := slow.readAll(); err != nil {
		t.Fatal(err)
	}
	settle(s, other)
	if counted := h.Stats().LogBytes; logs.alive() > counted {
		t.Errorf("everything is read: %d bytes are in memory, and %d are counted", logs.alive(), counted)
	}
	for i := range 400 { // each takes the memory of an earlier one
		r := join(s, "reader", fmt.Sprint(i))
		h.Publish(Publication{Topics: names(fmt.Sprint(i)), Frame: make([]byte, 1000)})
		logs.note(fmt.Sprint(i))
		settle(s, other)
		r.readAll()
		settle(s, other)
	}
	if counted := h.Stats().LogBytes; logs.alive() > counted {
		t.Errorf("many topics: %d bytes are in memory, and %d are counted", logs.alive(), counted)
	}
}
