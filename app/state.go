package app

import (
	"cmp"
	"iter"
	"maps"
	"slices"
)

// A Key is what a topic's state is known by. The zero Key is none.
type Key struct {
	Name string
	Of   Tie
	By   string // the connection id of a tied key, the user of an owned one
}

// A Tie says to whom state belongs.
type Tie uint8

const (
	Shared Tie = iota // to everyone
	Tied              // to a session, and ends with it
	Owned             // to a user
)

// State is what a topic knows by key. It changes only by its methods, so it is
// the same wherever they were called in the same order.
//
// A key that was dropped leaves a mark, so that those who come back can be told.
type State struct {
	values      map[Key]*Value // nil while there are none; marks are among them
	first, last *Value         // a list of all, by number
	keys        int            // values that are no marks
	bytes       int            // of these
	marks       int            // bytes of the marks
	lost        uint64         // number of the last mark that is gone
}

// A Value is the frame that set a key, or that dropped it.
type Value struct {
	Key    Key
	Number uint64 // its place in the order of all messages
	Frame  []byte // must not be changed
	Drop   bool   // a mark

	prev, next *Value
}

// size is how many bytes a value counts.
func (v *Value) size() int { return len(v.Frame) + len(v.Key.Name) + len(v.Key.By) }

// ValueOverhead is about how many bytes a value takes besides its frame.
const ValueOverhead = 200

// Memory is how many bytes of memory the state takes, about.
func (s *State) Memory() int { return s.bytes + s.marks + len(s.values)*ValueOverhead }

// Empty reports whether there is neither a value nor a mark.
func (s *State) Empty() bool { return len(s.values) == 0 }

// Lost returns the number of the last mark that is no more; 0 if there is none.
func (s *State) Lost() uint64 { return s.lost }

// Has reports whether a key has a value.
func (s *State) Has(k Key) bool {
	v := s.values[k]
	return v != nil && !v.Drop
}

// Fits reports whether a frame of size bytes can be the value of k, if a state
// has at most that many keys and bytes.
func (s *State) Fits(k Key, size, keys, bytes int) bool {
	size += len(k.Name) + len(k.By)
	if s.Has(k) {
		return s.bytes-s.values[k].size()+size <= bytes
	}
	return s.keys < keys && s.bytes+size <= bytes
}

// Growth returns by how many bytes Memory changes when a frame of size bytes
// becomes the value of k, or its mark.
func (s *State) Growth(k Key, size int) int {
	size += len(k.Name) + len(k.By)
	if old := s.values[k]; old != nil {
		return size - old.size()
	}
	return size + ValueOverhead
}

// Set sets the value of a key, or with drop leaves a mark for it. Numbers must
// ascend. The frame must not be changed afterwards.
func (s *State) Set(k Key, number uint64, frame []byte, drop bool) {
	if old := s.values[k]; old != nil {
		s.remove(old)
	}
	if s.values == nil {
		s.values = make(map[Key]*Value)
	}
	v := &Value{Key: k, Number: number, Frame: frame, Drop: drop, prev: s.last}
	s.values[k] = v
	if s.last != nil {
		s.last.next = v
	} else {
		s.first = v
	}
	s.last = v
	if drop {
		s.marks += v.size()
		return
	}
	s.keys++
	s.bytes += v.size()
}

// remove removes a value or a mark.
func (s *State) remove(v *Value) {
	delete(s.values, v.Key)
	if v.prev != nil {
		v.prev.next = v.next
	} else {
		s.first = v.next
	}
	if v.next != nil {
		v.next.prev = v.prev
	} else {
		s.last = v.prev
	}
	if v.Drop {
		s.marks -= v.size()
		return
	}
	s.keys--
	s.bytes -= v.size()
}

// ForgetMarks removes the oldest marks until they have at most that many bytes,
// and those that are old.
func (s *State) ForgetMarks(bytes int, old func(frame []byte) bool) {
	for v := s.first; v != nil && s.marks > 0; v = v.next {
		if !v.Drop {
			continue
		}
		if s.marks <= bytes && !old(v.Frame) {
			return
		}
		s.remove(v)
		s.lost = v.Number
	}
}

// Forgot makes Lost return at least that number, for a state that is made from
// another one.
func (s *State) Forgot(number uint64) { s.lost = max(s.lost, number) }

// Clear removes everything.
func (s *State) Clear() { *s = State{} }

// After yields the values and marks with a greater number, in order.
func (s *State) After(number uint64) iter.Seq[*Value] {
	return func(yield func(*Value) bool) {
		first := s.last
		for first != nil && first.prev != nil && first.prev.Number > number {
			first = first.prev
		}
		for v := first; v != nil; v = v.next {
			if v.Number > number && !yield(v) {
				return
			}
		}
	}
}

// TiedTo returns the keys that are tied to a session, in the order in which they
// were last set.
func (s *State) TiedTo(id string) []Key {
	var list []*Value
	for v := range maps.Values(s.values) {
		if v.Key.Of == Tied && v.Key.By == id && !v.Drop {
			list = append(list, v)
		}
	}
	slices.SortFunc(list, func(a, b *Value) int { return cmp.Compare(a.Number, b.Number) })
	keys := make([]Key, len(list))
	for i, v := range list {
		keys[i] = v.Key
	}
	return keys
}
