package cluster

import (
	"context"
	"errors"
)

// A backend stores batches for all servers, and carries questions between them.
// NATS is one; tests have another, in memory.
type backend interface {
	stream
	bus
}

// A stream stores messages in one order, and numbers them from 1 on without a
// gap. Besides, whatever is stored is given to the deliver function of every
// server; but that may fail, or come late, twice, or out of order.
type stream interface {
	// Store stores a message and returns its number. If expect is not anyLast,
	// the message is stored only if the last number is expect; otherwise the
	// error is errNotLast. After any other error the message may have been
	// stored.
	Store(ctx context.Context, data []byte, expect int64) (seq uint64, err error)
	// Load returns stored messages with consecutive numbers, from one on:
	// at least one, or errNone. With fresh, the server that decides about the
	// order is asked; otherwise any may answer, and may not have them yet.
	Load(ctx context.Context, from uint64, fresh bool) ([]message, error)
	// Bounds returns the numbers of the first and of the last message, from
	// the server that decides about the order. If there are none, first is
	// last+1.
	Bounds(ctx context.Context) (first, last uint64, err error)
	// Purge removes the messages before that number. If it is everything, the
	// stream is made anew: it is empty, and numbers begin with 1 again.
	Purge(ctx context.Context, before uint64) error
}

// A bus carries what need not be stored.
type bus interface {
	// Ask sends a question to all other servers. each is called with every
	// answer, one at a time, until ctx is done, or each returns false. Ask
	// returns then.
	Ask(ctx context.Context, question []byte, each func(answer []byte) bool) error
	// Health says how far this server reaches.
	Health() health
	// Close ends the backend. Nothing is delivered afterwards.
	Close()
}

// A message is a stored batch.
type message struct {
	seq  uint64
	data []byte
}

// anyLast is for Store: whatever is the last number.
const anyLast = -1

// everything is for Purge.
const everything = 0

// A health is how far a server reaches.
type health uint8

const (
	fine       health = iota // a majority of the servers is in reach, and one of them leads
	leaderless               // a majority is in reach, but none leads yet
	isolated                 // no majority is in reach
)

// deliver is called with messages as they are stored; it must not wait. respond
// is called in a goroutine of its own with a question of another server, and
// returns the answer; nil means none.
type callbacks struct {
	deliver func(m message)
	respond func(question []byte) (answer []byte)
}

var (
	errNotLast = errors.New("cluster: others have written to the log")
	errNone    = errors.New("cluster: the log has no such message")
)
