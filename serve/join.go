package serve

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"crier/cluster"
)

// A link is the shared log of several servers, once this server has joined them.
// Until then nothing can be appended.
type link struct {
	log    atomic.Pointer[cluster.Log]
	joined chan struct{} // closed when there is log

	opening sync.WaitGroup // the log is being opened
	patient atomic.Int32   // handshakes that wait for a leader

	// How often this server has begun with a log, and for which of these times
	// it has agreed on terms with the others.
	begun, agreed atomic.Uint64
	anew          chan struct{} // a buffered signal: begun has changed
}

func newLink() *link {
	return &link{joined: make(chan struct{}), anew: make(chan struct{}, 1)}
}

// begins notes that this server begins with a log: its first one, or another one
// in the place of that.
func (l *link) begins() {
	l.begun.Add(1)
	select {
	case l.anew <- struct{}{}:
	default:
	}
}

// ready reports whether this server has agreed on terms with the others.
func (l *link) ready() bool { return l.agreed.Load() == l.begun.Load() }

// Append implements sharedLog. A server's terms come before all else that it
// says, so the first record of a log is the terms of some server.
func (l *link) Append(record []byte, own any) error {
	if log := l.log.Load(); log != nil && (l.ready() || record[0] == agreed) {
		return log.Append(record, own)
	}
	return cluster.ErrBusy
}

// Retry implements sharedLog.
func (l *link) Retry() <-chan struct{} {
	if log := l.log.Load(); log != nil {
		return log.Retry()
	}
	return l.joined
}

// Sync implements sharedLog.
func (l *link) Sync(ctx context.Context) error {
	if log := l.log.Load(); log != nil {
		return log.Sync(ctx)
	}
	return cluster.ErrBusy
}

// Ask implements sharedLog.
func (l *link) Ask(ctx context.Context, question []byte) (answers [][]byte, servers int) {
	if log := l.log.Load(); log != nil {
		return log.Ask(ctx, question)
	}
	return nil, 1
}

// status reports whether clients can be served, and if not, why not.
func (l *link) status() (ok bool, why string) {
	log := l.log.Load()
	if log == nil {
		return false, "waiting for the other servers"
	}
	if ok, why = log.Ready(); ok && !l.ready() {
		return false, "joining the other servers"
	}
	return ok, why
}

// meet makes the server one of several, until ctx is done. It returns an error if
// that is not possible.
func (h *home) meet(ctx context.Context) error {
	c := *h.config.Cluster
	c.Machine, c.Answer, c.Log = replica{h}, h.answer, h.config.Log
	c.MaxRecord = largestRecord(h.config.MaxMessage)
	log, err := cluster.Open(ctx, c)
	if err == nil {
		h.link.log.Store(log)
		close(h.link.joined)
	}
	h.link.opening.Done()
	if err != nil {
		return fmt.Errorf("open the shared log: %w", err)
	}
	for {
		select {
		case <-h.link.anew:
		case <-ctx.Done():
			return nil
		}
		if h.link.ready() { // one log was restored in two steps
			continue
		}
		if err := h.agreeOnTerms(ctx); err != nil {
			return fmt.Errorf("agree with the other servers: %w", err)
		}
		h.config.Log.Info("joined", "server", c.Name, "servers", len(log.Servers()))
	}
}

// agreeOnTerms writes this server's terms into the log. Clients can be served
// then, unless there is another log by now.
func (h *home) agreeOnTerms(ctx context.Context) error {
	begun := h.link.begun.Load()
	rec := packer{agreed}
	rec.number(uint64(rand.Uint32N(epochs)))
	rec.bytes(newSecret())
	rec.terms(h.config.terms())
	err := h.patiently(ctx, func() error { return h.append(rec, nil, nil) })
	if err == nil {
		err = h.shared.Sync(ctx)
	}
	if err == nil {
		h.link.agreed.Store(begun)
	}
	return err
}

// Digest returns the SHA-256 of what this server knows of the rooms of live. At the
// same place of the log it is the same on all servers that share it.
func (s *Server) Digest(ctx context.Context) (sum [sha256.Size]byte, err error) {
	h := s.home
	if h.link == nil || h.link.log.Load() == nil {
		return sum, errors.New("digest: this server shares no log with others")
	}
	err = h.link.log.Load().Do(ctx, func() { sum = sha256.Sum256(replica{h}.Save(nil)) })
	if err != nil {
		return sum, fmt.Errorf("digest: %w", err)
	}
	return sum, nil
}

// part leaves the other servers, after everything that this server has to say.
func (h *home) part(ctx context.Context) {
	h.link.opening.Wait() // it has been told that the server ends
	if log := h.link.log.Load(); log != nil {
		if err := log.Close(ctx); err != nil {
			h.config.Log.Warn("the other servers could not be told of the end", "cause", err)
		}
	}
}

// largestRecord returns the size of the largest record: a message that is stamped
// and for many topics. In JSON a byte of it can become six.
func largestRecord(message int) int { return 6*message + 64<<10 }

// A client that comes while the servers elect a leader waits for that, unless too
// many do.
const (
	electionTime = 10 * time.Second
	maxPatient   = 1000
)

// readySoon waits while the servers elect a leader. It reports whether this server
// can take clients then.
func (h *home) readySoon(ctx context.Context) bool {
	if h.ready() {
		return true
	}
	log := h.link.log.Load()
	if log == nil || h.draining.Load() {
		return false
	}
	if h.link.patient.Add(1) <= maxPatient {
		ctx, cancel := context.WithTimeout(ctx, electionTime)
		defer cancel()
		log.Await(ctx)
	}
	h.link.patient.Add(-1)
	return h.ready()
}

// ready reports whether this server can take clients.
func (h *home) ready() bool {
	if h.link == nil {
		return true
	}
	ok, _ := h.link.status()
	return ok
}
