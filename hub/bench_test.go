package hub

import (
	"fmt"
	"testing"
)

// sink is a member that takes everything at once, as a socket with room does.
type sink struct {
	Member
	mem   Memory
	bytes int
}

func (s *sink) Wake() {
	for {
		batch, _ := s.Pending(&s.mem, 256<<10)
		if batch.Bytes == 0 {
			return
		}
		s.bytes += batch.Bytes
		s.Advance(batch, batch.Bytes)
		s.mem.Reset()
	}
}

func sinks(s *Shard, n int, topics ...Topic) []*sink {
	list := make([]*sink, n)
	for i := range list {
		list[i] = new(sink)
		s.Join(&list[i].Member, list[i])
		for _, name := range topics {
			list[i].Subscribe(name)
		}
	}
	return list
}

// BenchmarkFanOut publishes to 1,000 members: one operation is one delivery.
func BenchmarkFanOut(b *testing.B) {
	const members = 1000
	frame := make([]byte, 66)
	for _, window := range []int{1, 64} {
		for _, mine := range []bool{false, true} {
			b.Run(fmt.Sprintf("window=%d/mine=%v", window, mine), func(b *testing.B) {
				h := New(Config{})
				s := newShard(h)
				topic := names("a")
				all := sinks(s, members, topic...)
				p := Publication{Topics: topic, Frame: frame}
				if mine {
					p.Echo, p.Copy = EchoCopy, frame
				}
				b.ReportAllocs()
				for i := 0; i < b.N; i += members * window {
					for k := range window {
						p.From = &all[k].Member
						h.Publish(p)
					}
					settle(s)
				}
			})
		}
	}
}

// BenchmarkManyTopics publishes to one topic of ten members among many: the others must cost nothing.
func BenchmarkManyTopics(b *testing.B) {
	frame := make([]byte, 66)
	for _, topics := range []int{1, 1000, 100_000} {
		b.Run(fmt.Sprint("topics=", topics), func(b *testing.B) {
			h := New(Config{})
			s := newShard(h)
			list := make([]Topic, topics)
			for i := range list {
				list[i] = Topic{App: "app", Name: fmt.Sprint("topic ", i)}
				sinks(s, 10, list[i])
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				h.Publish(Publication{Topics: list[i*7919%topics:][:1], Frame: frame})
				settle(s)
			}
		})
	}
}

// BenchmarkSubscribe churns one subscription of a member that is in many topics.
func BenchmarkSubscribe(b *testing.B) {
	for _, topics := range []int{1, 1000} {
		b.Run(fmt.Sprint("topics=", topics), func(b *testing.B) {
			h := New(Config{})
			s := newShard(h)
			m := sinks(s, 1)[0]
			for i := range topics - 1 {
				m.Subscribe(Topic{App: "app", Name: fmt.Sprint(i)})
			}
			sinks(s, 10, Topic{App: "app", Name: "busy"})
			b.ReportAllocs()
			for b.Loop() {
				m.Subscribe(Topic{App: "app", Name: "busy"})
				m.Unsubscribe(Topic{App: "app", Name: "busy"})
				settle(s)
			}
		})
	}
}
