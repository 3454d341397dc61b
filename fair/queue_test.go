package fair

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// leave pops everything and returns it.
func leave(q *Queue[string]) string {
	var all []string
	for item := q.Pop(); item != nil; item = q.Pop() {
		all = append(all, item.Value)
	}
	return strings.Join(all, " ")
}

// TestTurns: keys take turns, and the items of one keep their order.
func TestTurns(t *testing.T) {
	for _, test := range []struct{ name, come, want string }{
		{"nothing", "", ""},
		{"one key", "a1 a2 a3", "a1 a2 a3"},
		{"one item among many of another", "a1 a2 a3 a4 b1", "a1 b1 a2 a3 a4"},
		{"all have many", "a1 a2 b1 b2 c1 c2", "a1 b1 c1 a2 b2 c2"},
		{"after a turn", "a1 a2 a3 . b1", "a1 a2 b1 a3"},
		{"who comes again is last", "a1 b1 . a2", "a1 b1 a2"},
		{"who is gone has lost the turn", "a1 b1 . . a2 b2", "a1 b1 a2 b2"},
	} {
		q := NewQueue[string](Limits{Total: 10, PerKey: 10})
		var left []string
		for _, item := range strings.Fields(test.come) {
			if item == "." {
				left = append(left, q.Pop().Value)
			} else if _, err := q.Push(item[:1], item); err != nil {
				t.Fatal(err)
			}
		}
		if got := strings.TrimSpace(strings.Join(left, " ") + " " + leave(q)); got != test.want {
			t.Errorf("%s: %s leave as %s, want %s", test.name, test.come, got, test.want)
		}
	}
}

// TestLimits: what one key may have, and all together. What comes back always
// has room.
func TestLimits(t *testing.T) {
	q := NewQueue[string](Limits{Total: 3, PerKey: 2})
	for _, test := range []struct {
		key  string
		want error
	}{{"a", nil}, {"a", nil}, {"a", ErrFull}, {"b", nil}, {"b", ErrFull}, {"c", ErrFull}} {
		if _, err := q.Push(test.key, test.key); !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", test.key, err, test.want)
		}
	}
	q.PushFront("b", "back")
	if q.Len() != 4 || len(q.lines) != 2 {
		t.Errorf("%d items of %d keys", q.Len(), len(q.lines))
	}
	if got := leave(q); got != "back a b a" {
		t.Errorf("got %s", got)
	}
	if _, err := q.Push("c", "c"); err != nil || len(q.lines) != 1 {
		t.Errorf("when there is room again: %v, %d keys", err, len(q.lines))
	}
}

// A model is a queue that is right because it is simple: its items, and its
// keys with the next one first.
type model struct {
	limits Limits
	items  []entry
	turns  []string
}

type entry struct {
	key  string
	name int
}

func (m *model) has(key string) int {
	n := 0
	for _, e := range m.items {
		if e.key == key {
			n++
		}
	}
	return n
}

func (m *model) push(e entry) error {
	if len(m.items) >= m.limits.Total || m.has(e.key) >= m.limits.PerKey {
		return ErrFull
	}
	if m.has(e.key) == 0 {
		m.turns = append(m.turns, e.key)
	}
	m.items = append(m.items, e)
	return nil
}

func (m *model) pushFront(e entry) {
	m.turns = slices.DeleteFunc(m.turns, func(key string) bool { return key == e.key })
	m.turns = slices.Insert(m.turns, 0, e.key)
	m.items = slices.Insert(m.items, 0, e)
}

func (m *model) pop() (entry, bool) {
	if len(m.turns) == 0 {
		return entry{}, false
	}
	key := m.turns[0]
	m.turns = append(m.turns[1:], key)
	i := slices.IndexFunc(m.items, func(e entry) bool { return e.key == key })
	e := m.items[i]
	m.remove(e)
	return e, true
}

func (m *model) remove(e entry) bool {
	i := slices.Index(m.items, e)
	if i < 0 {
		return false
	}
	m.items = slices.Delete(m.items, i, i+1)
	if m.has(e.key) == 0 {
		m.turns = slices.DeleteFunc(m.turns, func(key string) bool { return key == e.key })
	}
	return true
}

// TestModel: whatever happens to a queue, it does what the model does.
func TestModel(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 0))
		limits := Limits{Total: 1 + random.IntN(30), PerKey: 1 + random.IntN(10)}
		q, m := NewQueue[entry](limits), &model{limits: limits}
		var known []*Item[entry] // some have left
		for name := range 500 {
			e := entry{fmt.Sprint(random.IntN(5)), name}
			switch random.IntN(7) {
			case 0, 1, 2:
				item, err := q.Push(e.key, e)
				if want := m.push(e); !errors.Is(err, want) {
					t.Fatalf("seed %d, %d: push: got %v, want %v", seed, name, err, want)
				}
				if err == nil {
					known = append(known, item)
				}
			case 3, 4:
				item := q.Pop()
				want, ok := m.pop()
				if (item != nil) != ok || ok && item.Value != want {
					t.Fatalf("seed %d, %d: pop: got %v, want %v", seed, name, item, want)
				}
				if ok && random.IntN(4) == 0 {
					q.PushFront(want.key, want)
					m.pushFront(want)
				}
			case 5:
				if len(known) > 0 {
					item := known[random.IntN(len(known))]
					// What was put back is another item with the same value:
					// the model cannot tell.
					if item.line == nil {
						if q.Remove(item) {
							t.Fatalf("seed %d, %d: removed what has left", seed, name)
						}
					} else if !q.Remove(item) || !m.remove(item.Value) {
						t.Fatalf("seed %d, %d: %v is not removed", seed, name, item.Value)
					}
				}
			}
			if q.Len() != len(m.items) || len(q.lines) != len(m.turns) || q.turns.Len() != len(m.turns) {
				t.Fatalf("seed %d, %d: %d items of %d keys, want %d of %d",
					seed, name, q.Len(), len(q.lines), len(m.items), len(m.turns))
			}
		}
	}
}

// TestNobodyStarves: while a key has something waiting, no other key leaves
// twice.
func TestNobodyStarves(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	q := NewQueue[string](Limits{Total: 1000, PerKey: 1000})
	left := make(map[string]map[string]int) // of a key that waits: what has left meanwhile
	for range 100_000 {
		if random.IntN(2) == 0 {
			key := fmt.Sprint(random.IntN(1 + random.IntN(50)))
			if _, err := q.Push(key, key); err == nil && left[key] == nil {
				left[key] = make(map[string]int)
			}
			continue
		}
		item := q.Pop()
		if item == nil {
			continue
		}
		for key, others := range left {
			if others[item.Value]++; key != item.Value && others[item.Value] > 1 {
				t.Fatalf("%s waits while %s leaves twice", key, item.Value)
			}
		}
		delete(left, item.Value)
		if q.lines[item.Value] != nil {
			left[item.Value] = make(map[string]int)
		}
	}
}

// BenchmarkQueue: what an item costs does not depend on how many wait, and of
// how many keys.
func BenchmarkQueue(b *testing.B) {
	for _, waiting := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprint(waiting), func(b *testing.B) {
			q := NewQueue[int](Limits{Total: waiting, PerKey: waiting})
			for i := range waiting {
				q.Push(fmt.Sprint(i%100), i)
			}
			b.ReportAllocs()
			for i := range b.N {
				q.Pop()
				q.Push("key", i)
			}
		})
	}
}
