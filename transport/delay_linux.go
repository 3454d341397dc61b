package transport

import (
	"container/heap"
	"time"
)

// A delay is a line whose input waits for a time. The wheel is not precise
// enough for it.
type delay struct {
	till int64 // as Transport.now
	line *line
}

// A delayHeap holds delays. The one with the earliest time is first.
type delayHeap []delay

func (h *delayHeap) add(l *line, till int64) { heap.Push(h, delay{till, l}) }

func (h *delayHeap) pop() *line { return heap.Pop(h).(delay).line }

// next returns the earliest time, or the zero time if there is none.
func (h delayHeap) next(started time.Time) time.Time {
	if len(h) == 0 {
		return time.Time{}
	}
	return started.Add(time.Duration(h[0].till) * time.Millisecond)
}

// Len, Less, Swap, Push and Pop implement heap.Interface.
func (h delayHeap) Len() int           { return len(h) }
func (h delayHeap) Less(i, k int) bool { return h[i].till < h[k].till }
func (h delayHeap) Swap(i, k int)      { h[i], h[k] = h[k], h[i] }
func (h *delayHeap) Push(x any)        { *h = append(*h, x.(delay)) }

func (h *delayHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	(*h)[last] = delay{}
	*h = (*h)[:last]
	return x
}
