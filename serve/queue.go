package serve

import "sync"

// A queue does tasks in the order in which they came, a bounded number of them
// at a time. It has goroutines only while there is something to do.
type queue[T any] struct {
	// Set once.
	do  func(T)
	max int // goroutines

	running sync.WaitGroup // the goroutines

	mu      sync.Mutex
	waiting []T // the oldest first. Invariant: empty, or workers > 0
	workers int // goroutines. Invariant: <= max
}

// add adds a task. It must not be called any more when wait may have returned.
func (q *queue[T]) add(task T) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, task)
	if q.workers < q.max {
		q.workers++
		q.running.Go(q.work)
	}
}

// work does tasks until none wait.
func (q *queue[T]) work() {
	for task, ok := q.next(); ok; task, ok = q.next() {
		q.do(task)
	}
}

// next returns false if no task waits; the goroutine must then end.
func (q *queue[T]) next() (task T, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		q.waiting = nil // frees the memory that many tasks took
		q.workers--
		return task, false
	}
	var none T
	task, q.waiting[0] = q.waiting[0], none
	q.waiting = q.waiting[1:]
	return task, true
}

// wait returns when all tasks are done.
func (q *queue[T]) wait() { q.running.Wait() }
