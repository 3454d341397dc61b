// Package fair has a queue in which many items of one key do not delay the few
// of another.
//
//	q := fair.NewQueue[job](fair.Limits{Total: 1000, PerKey: 100})
//	item, err := q.Push("ann", job)  // ErrFull: it has no room
//	next := q.Pop()                  // nil: it is empty
//
// Items of one key leave in the order in which they were pushed. Keys take
// turns: the first item of a key waits for at most one item of each other key,
// however many those have. Each operation takes the same short time, however
// many items wait.
//
// # What it does not do
//
// It has no lock, and no way to wait for an item: its owner has both.
package fair

import (
	"container/list"
	"errors"
)

// ErrFull means that as many items wait as Limits allow, of this key or in all.
var ErrFull = errors.New("too much is waiting already")

// Limits set how many items may wait.
type Limits struct {
	Total  int
	PerKey int
}

// A Queue holds items until it is their turn. Make one with NewQueue.
type Queue[T any] struct {
	limits Limits // set once
	len    int
	lines  map[string]*line // by key; those that hold items
	turns  list.List        // of the same lines; the first is next
}

// A line holds the waiting items of one key. Invariant: it is not empty.
type line struct {
	key   string
	items list.List     // of *Item; the oldest is first
	turn  *list.Element // in Queue.turns
}

// An Item is a value that was pushed, with its place in the queue.
type Item[T any] struct {
	Value T
	line  *line         // nil: it has left the queue
	place *list.Element // in line.items
}

// NewQueue returns an empty queue.
func NewQueue[T any](limits Limits) *Queue[T] {
	return &Queue[T]{limits: limits, lines: make(map[string]*line)}
}

// Len returns how many items wait.
func (q *Queue[T]) Len() int { return q.len }

// Push adds an item to those of its key. The error is ErrFull, or nil.
func (q *Queue[T]) Push(key string, value T) (*Item[T], error) {
	l := q.lines[key]
	if q.len >= q.limits.Total || l != nil && l.items.Len() >= q.limits.PerKey {
		return nil, ErrFull
	}
	item := &Item[T]{Value: value, line: q.line(key)}
	item.place = item.line.items.PushBack(item)
	q.len++
	return item, nil
}

// PushFront adds an item that is the next to leave, whatever the limits. It is
// for items that are put back.
func (q *Queue[T]) PushFront(key string, value T) *Item[T] {
	item := &Item[T]{Value: value, line: q.line(key)}
	item.place = item.line.items.PushFront(item)
	q.turns.MoveToFront(item.line.turn)
	q.len++
	return item
}

// line returns the line of a key. A new line is the last to have its turn.
func (q *Queue[T]) line(key string) *line {
	l := q.lines[key]
	if l == nil {
		l = &line{key: key}
		l.turn = q.turns.PushBack(l)
		q.lines[key] = l
	}
	return l
}

// Pop takes out the next item; nil if there is none.
func (q *Queue[T]) Pop() *Item[T] {
	next := q.turns.Front()
	if next == nil {
		return nil
	}
	q.turns.MoveToBack(next)
	item := next.Value.(*line).items.Front().Value.(*Item[T])
	q.Remove(item)
	return item
}

// Remove takes an item out. It returns false if the item has left already.
func (q *Queue[T]) Remove(item *Item[T]) bool {
	l := item.line
	if l == nil {
		return false
	}
	l.items.Remove(item.place)
	if l.items.Len() == 0 {
		q.turns.Remove(l.turn)
		delete(q.lines, l.key)
	}
	item.line, item.place = nil, nil
	q.len--
	return true
}
