package cluster

import (
	"errors"
	"log/slog"
	"time"
)

// A Config says what a log is applied to and where it is.
type Config struct {
	Machine Machine
	// Answer answers a question of another server; nil means no answer. It is
	// called concurrently.
	Answer func(question []byte) []byte
	Name   string // of this server, for people, such as its host name and port
	// Timeout is how long clients wait here when no server leads, before they
	// are sent to others. 0 means 30 s.
	Timeout time.Duration
	Log     *slog.Logger
	// MaxRecord is the largest record in bytes. 0 means 128 KiB.
	MaxRecord int
	// CheckpointBytes is how much log there is between two checkpoints, at
	// least. 0 means 32 MiB.
	CheckpointBytes int
	// Seed is what an empty log starts from: what Export of another log has
	// returned. It is ignored if the log is not empty.
	Seed []byte

	// Where the log is: one of these.
	Embedded *Embedded // NATS in this process
	NATS     *NATS     // the NATS that one has
}

// Why a record is not taken, or an incarnation has ended.
var (
	ErrBusy        = errors.New("cluster: the log takes no records at the moment")
	ErrClosed      = errors.New("cluster: the log is closed")
	ErrTooLarge    = errors.New("cluster: the record is larger than the log carries")
	ErrDead        = errors.New("cluster: the other servers have gone on without this one")
	ErrCutOff      = errors.New("cluster: this server does not reach a majority of the servers")
	ErrStartedOver = errors.New("cluster: a part of the log that this server needs is gone")
)

// Bounds of a log. Each says what it stops.
const (
	// maxBatch is how many bytes of records ride in one message. A single
	// record may be larger; it is alone in its batch.
	maxBatch = 512 << 10
	// maxQueue is how much this server may have appended that is not applied
	// yet, plus one record: what a server without a leader can pile up.
	maxQueue = 4 << 20
	// maxAhead bounds the batches that wait for one that has not come.
	maxAhead      = 1024
	maxAheadBytes = 32 << 20
	// maxLag is how much log a live server may have still to apply while the
	// others go on appending.
	maxLag      = 16 << 20
	maxLagCount = 1 << 16
	// maxChunk is how much of a checkpoint rides in one batch, besides records.
	maxChunk = 256 << 10
	// maxAnswers is how many questions are answered at once.
	maxAnswers = 256
	maxName    = 255

	defaultRecord     = 128 << 10
	defaultCheckpoint = 32 << 20
	defaultTimeout    = 30 * time.Second
)

// Times of a log.
const (
	tickEvery   = time.Second
	lookEvery   = tickEvery / 4          // at health, and at what is late
	heldAfter   = 2 * time.Second        // a tick without acknowledgement
	cutOffAfter = 5 * time.Second        // without a majority
	gapAfter    = 50 * time.Millisecond  // a batch that has not come is loaded
	retryFirst  = 50 * time.Millisecond  // until a batch is stored again, at first
	retryLast   = time.Second            // and at last
	storeTime   = 3 * time.Second        // for one try to store: more than patience, so that the
	loadTime    = storeTime              // backend can tell that nobody answers
	answerTime  = time.Second            // until a question's place is applied
	sayEvery    = 3 * time.Second        // for what Open waits
	seedStuck   = 10 * time.Second       // an import without progress
	loadAgain   = 200 * time.Millisecond // after a load that failed
)

// maxMessage is the size of the largest batch: what a backend has to carry.
func maxMessage(maxRecord int) int {
	return headerSize + max(maxBatch+maxChunk, itemHeader+maxRecord) + extraItems
}

func (c *Config) setDefaults() {
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.MaxRecord == 0 {
		c.MaxRecord = defaultRecord
	}
	if c.CheckpointBytes == 0 {
		c.CheckpointBytes = defaultCheckpoint
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if len(c.Name) > maxName {
		c.Name = c.Name[:maxName]
	}
}
