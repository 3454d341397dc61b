package hub_test

import (
	"fmt"

	"crier/hub"
)

// A printer is the connection of a member: it prints what the member gets.
type printer struct {
	hub.Member
	name string
}

// Wake implements hub.Conn. A real connection writes the batch to its socket,
// and tells Advance how many bytes the socket took.
func (p *printer) Wake() {
	var mem hub.Memory
	batch, err := p.Pending(&mem, 64<<10)
	if err != nil {
		fmt.Println(p.name, "fell behind")
		return
	}
	for _, frame := range batch.Frames {
		fmt.Printf("%s gets %q\n", p.name, frame)
	}
	p.Advance(batch, batch.Bytes)
}

// Two members of one topic: both get each message, and the sender gets its own
// copy of what it published.
func Example() {
	h := hub.New(hub.Config{})
	shard := h.NewShard(func() {}) // a real one wakes the goroutine below
	news := hub.Topic{App: "demo", Name: "news"}

	ann, bob := &printer{name: "ann"}, &printer{name: "bob"}
	for _, p := range []*printer{ann, bob} {
		shard.Join(&p.Member, p)
		p.Subscribe(news)
	}

	err := h.Publish(hub.Publication{
		From:   &ann.Member,
		Topics: []hub.Topic{news},
		Frame:  []byte("hello"),
		Echo:   hub.EchoCopy,
		Copy:   []byte("hello (yours)"),
	})
	if err != nil {
		fmt.Println(err)
	}
	for shard.Turn(16) { // one goroutine takes all turns of a shard
	}

	// Output:
	// ann gets "hello (yours)"
	// bob gets "hello"
}

// A post is for one member alone. After the last frame, nothing is accepted.
func ExampleMember_Finish() {
	h := hub.New(hub.Config{})
	shard := h.NewShard(func() {})
	ann := &printer{name: "ann"}
	shard.Join(&ann.Member, ann)

	ann.Post([]byte("for you"))
	ann.Finish([]byte("bye"), false)
	fmt.Println(ann.Post([]byte("too late")))
	for shard.Turn(16) {
	}

	// Output:
	// hub: the member is gone
	// ann gets "for you"
	// ann gets "bye"
}
