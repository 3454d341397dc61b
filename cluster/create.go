package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// maxReplicas is JetStream's.
const maxReplicas = 5

// A shape is what the log's stream should be like.
type shape struct {
	storage  nats.StorageType
	replicas int
	// keep says that the number of replicas of a stream that exists is right.
	keep bool
	// fewer says that a single replica will do if NATS has too few servers.
	fewer   bool
	largest int // message in bytes
}

// config returns the configuration of a new stream. It has no limits, because
// a message that JetStream removes by itself would be a hole in the log; the log
// purges it. Messages have no ids, so there are no duplicates to look for: the
// window is the smallest that there is.
func (s shape) config() nats.StreamConfig {
	return nats.StreamConfig{
		Name:              streamName,
		Description:       "The log that the servers of crier share",
		Subjects:          []string{logSubject},
		Retention:         nats.LimitsPolicy,
		Discard:           nats.DiscardNew,
		MaxConsumers:      -1,
		MaxMsgs:           -1,
		MaxBytes:          -1,
		MaxMsgsPerSubject: -1,
		MaxMsgSize:        int32(s.largest + headerRoom),
		Storage:           s.storage,
		Replicas:          s.replicas,
		Duplicates:        100 * time.Millisecond,
		AllowDirect:       true,
		RePublish:         &nats.RePublish{Source: logSubject, Destination: liveSubject},
	}
}

// open creates the stream unless there is one, and begins to listen. It tries
// until ctx is done, or an error is one that does not pass. While it waits, it
// logs every few seconds for what.
func (j *jetStream) open(ctx context.Context, s shape, wait func() string) error {
	const every = 5 * time.Second
	tell := time.Now().Add(every)
	for listening := false; ; {
		var err error
		if !listening { // first, because others may ask before there is a stream
			err = j.listen()
			listening = err == nil
		}
		if err == nil {
			err = j.ensure(ctx, &s)
		}
		if err == nil {
			j.shape = s
			j.work.Go(j.probe) // it may make the stream anew, of that shape
			return nil
		}
		if fatal, ok := errors.AsType[*permanent](err); ok {
			return fatal.error
		}
		if time.Now().After(tell) {
			tell = time.Now().Add(every)
			j.log.Info(wait())
			j.log.Debug("The log is not there yet", "error", err)
		}
		if !sleep(ctx, 5*again) {
			return fmt.Errorf("%s: %w", wait(), err)
		}
	}
}

// A permanent error does not pass with time.
type permanent struct{ error }

func permanently(format string, args ...any) error {
	return &permanent{fmt.Errorf(format, args...)}
}

// ensure sees to it that there is a stream.
func (j *jetStream) ensure(ctx context.Context, s *shape) error {
	var info nats.StreamInfo
	err := j.api(ctx, "STREAM.INFO", nil, &info)
	if err == nil {
		return j.adapt(ctx, s, info.Config)
	}
	switch code(err) {
	case jsStreamNotFound:
		return j.create(ctx, s)
	case jsNotEnabled, jsNotForAccount:
		return permanently("%w: start it with -js, or enable JetStream for the account of crier", err)
	}
	if denied := j.explainDenial(); denied != nil {
		return denied
	}
	return err
}

// explainDenial returns an error if NATS has denied something.
func (j *jetStream) explainDenial() error {
	if denied := j.denied(); denied != nil {
		return permanently("NATS denies crier what it needs: %w; it must publish to %s, %s, $JS.API.> and _INBOX.>, "+
			"and subscribe to %s, %s and _INBOX.>", denied, logSubject, askSubject, liveSubject, askSubject)
	}
	return nil
}

// create creates the stream. Others may do the same at the same time.
func (j *jetStream) create(ctx context.Context, s *shape) error {
	err := j.api(ctx, "STREAM.CREATE", s.config(), nil)
	switch n := code(err); {
	case n == jsOverlap:
		return permanently("NATS has another stream with the subject %s: remove it, "+
			"or give crier an account of its own", logSubject)
	case s.fewer && s.replicas > 1 && (n == jsNoPeers || n == jsNoReplicas):
		j.log.Warn(fmt.Sprintf("NATS has no place for %d replicas of the log, so there is one: "+
			"it is gone when its server is", s.replicas), "error", err)
		s.replicas = 1
	case n == jsNoReplicas:
		return noReplicas(s)
	}
	return err // the next try tells
}

// adapt changes a stream that exists to what it should be like, as far as that
// is possible.
func (j *jetStream) adapt(ctx context.Context, s *shape, have nats.StreamConfig) error {
	if len(have.Subjects) != 1 || have.Subjects[0] != logSubject {
		return permanently("NATS has a stream %s that is not crier's; its subjects are %q, not %q",
			streamName, have.Subjects, logSubject)
	}
	want, next := s.config(), have
	if have.Storage != want.Storage {
		j.log.Warn(fmt.Sprintf("The log is kept in %s, as the server that was there first wanted it, "+
			"and not in %s", storageNames[have.Storage], storageNames[want.Storage]))
	}
	if !s.keep {
		next.Replicas = want.Replicas
	}
	next.MaxMsgSize = max(have.MaxMsgSize, want.MaxMsgSize)
	if have.MaxMsgSize <= 0 {
		next.MaxMsgSize = have.MaxMsgSize // none
	}
	next.Discard, next.AllowDirect, next.RePublish = want.Discard, want.AllowDirect, want.RePublish
	next.MaxMsgs, next.MaxBytes, next.MaxAge, next.MaxMsgsPerSubject = -1, -1, 0, -1
	if unchanged(next, have) {
		return nil
	}
	if next.Replicas != have.Replicas {
		j.log.Info(fmt.Sprintf("The log has %d replicas, and gets %d", have.Replicas, next.Replicas))
	}
	err := j.api(ctx, "STREAM.UPDATE", next, nil)
	if code(err) == jsNoReplicas {
		return noReplicas(s)
	}
	if err != nil {
		return fmt.Errorf("change the log's stream: %w", err)
	}
	return nil
}

func noReplicas(s *shape) error {
	return permanently("NATS is a single server, and cannot have %d replicas of the log", s.replicas)
}

// unchanged reports whether there is nothing to update.
func unchanged(a, b nats.StreamConfig) bool {
	return a.Replicas == b.Replicas && a.MaxMsgSize == b.MaxMsgSize && a.Discard == b.Discard &&
		a.AllowDirect == b.AllowDirect && b.RePublish != nil && *a.RePublish == *b.RePublish &&
		a.MaxMsgs == b.MaxMsgs && a.MaxBytes == b.MaxBytes && a.MaxAge == b.MaxAge &&
		a.MaxMsgsPerSubject == b.MaxMsgsPerSubject
}

var storageNames = map[nats.StorageType]string{nats.FileStorage: "files", nats.MemoryStorage: "memory"}
