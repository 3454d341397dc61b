package main

import (
	"bytes"
	"io"
	"sync"
	"time"
)

// A queue writes lines from a goroutine of its own, so that logging never waits
// for a slow reader of the log. An event loop that waited would stop all of its
// connections. Lines that do not fit are dropped; a line in their place says
// how many.
type queue struct {
	out    io.Writer
	notice func(lines int) []byte // the line that says how many were dropped
	news   chan struct{}          // a buffered signal: there is something to write, or the queue is closed
	done   chan struct{}          // closed when everything is written

	mu      sync.Mutex
	lines   []byte // to be written. Invariant: len(lines) <= maxQueued
	dropped int    // lines that were dropped after those
	closed  bool   // no more lines are accepted
	held    bool   // nothing is written for now
}

const (
	maxQueued = 1 << 20     // bytes that wait; as many are being written
	flushTime = time.Second // how long Close waits
)

// newQueue starts a queue, which must be closed.
func newQueue(out io.Writer, notice func(lines int) []byte) *queue {
	q := &queue{out: out, notice: notice, news: make(chan struct{}, 1), done: make(chan struct{})}
	go q.run()
	return q
}

// Write accepts lines or drops them. It never waits and never fails.
func (q *queue) Write(lines []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
	case q.dropped > 0 || len(q.lines)+len(lines) > maxQueued:
		q.dropped += bytes.Count(lines, []byte("\n"))
	default:
		q.lines = append(q.lines, lines...)
	}
	q.wake()
	return len(lines), nil
}

func (q *queue) wake() {
	select {
	case q.news <- struct{}{}:
	default:
	}
}

// hold makes lines wait until release or Close. As many as fit are kept.
func (q *queue) hold() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.held = true
}

// release writes what was held back. To call it again changes nothing.
func (q *queue) release() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.held = false
	q.wake()
}

// Close waits until all lines are written. If they are not read, it gives up
// after flushTime, and the goroutine stays in its write.
func (q *queue) Close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.wake()
	select {
	case <-q.done:
	case <-time.After(flushTime):
	}
}

func (q *queue) run() {
	defer close(q.done)
	var batch []byte
	for ended := false; !ended; {
		<-q.news
		q.mu.Lock()
		if q.held && !q.closed {
			q.mu.Unlock()
			continue
		}
		batch, q.lines = q.lines, batch[:0]
		dropped := q.dropped
		q.dropped, ended = 0, q.closed
		q.mu.Unlock()
		if len(batch) > 0 {
			q.out.Write(batch) // if it fails, there is no other place to report it
		}
		if dropped > 0 {
			q.out.Write(q.notice(dropped))
		}
	}
}
