package cluster

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"path/filepath"
	"time"
)

// A server that was alone has a log of its own. When it becomes one of several,
// the log that they share begins with what it knows. The others let it go first.

// exportSingle returns the state of the log that a server wrote when it was
// alone.
func exportSingle(ctx context.Context, c Config) ([]byte, error) {
	l, err := open(ctx, c, func(cb callbacks) (backend, error) {
		return openSingle(ctx, c.Embedded.Dir, maxMessage(c.MaxRecord), c.Log, cb)
	})
	if err != nil {
		return nil, fmt.Errorf("open the log that this server wrote alone: %w", err)
	}
	state := l.Export()
	if err := l.Close(ctx); err != nil {
		return nil, fmt.Errorf("close the log that this server wrote alone: %w", err)
	}
	return state, nil
}

// settleSingle retires the log that a server wrote alone, if the shared log began
// with it.
func (l *Log) settleSingle() error {
	dir := l.config.Embedded.Dir
	if l.planted.Load() {
		return retireSingle(dir)
	}
	return fmt.Errorf("%s is what topics knew when this server was alone, but the other servers have a log already: "+
		"move it away to join them without it; to go on with it instead of their log, stop all servers, and remove %s and "+
		"the data directories of the others", filepath.Join(dir, "single"), filepath.Join(dir, "cluster"))
}

// whoSeeds is the question to other servers whether they bring the state that an
// empty log is to begin with: that of a server that was alone, or of a log that is
// lost.
var whoSeeds = []byte{1}

// seedTime is how long others have to answer it.
const seedTime = 500 * time.Millisecond

// othersSeed reports whether another server brings a state for an empty log, and
// one that knows more than this one's.
func (l *Log) othersSeed() (found bool) {
	if e := l.config.Embedded; l.config.Seed != nil || e != nil && len(e.Peers) == 0 {
		return false
	}
	var own uint64
	if l.rescued.state != nil {
		if time.Since(l.rescued.since) > seedStuck {
			return false
		}
		own = l.brings()
	}
	ctx, cancel := context.WithTimeout(l.ctx, seedTime)
	defer cancel()
	l.backend.Ask(ctx, whoSeeds, func(answer []byte) bool {
		r := reader{answer}
		if more := r.uint64(); r.left != nil && more > own {
			found = true
		}
		return !found
	})
	return found
}

// brings returns how much this server knows of what an empty log should begin with:
// how far it has applied a log that is lost, if it is lost. What a server that was
// alone brings comes before that. 0 means nothing.
func (l *Log) brings() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.config.Seed != nil:
		return math.MaxUint64
	case l.closing || l.ended != nil:
		return 0
	case l.knows > 0:
		return l.knows
	}
	return l.applied.Load()
}

// noteSeed notes that the log begins with a state, if it is this server's.
func (l *Log) noteSeed(state []byte) {
	if l.config.Seed != nil && bytes.Equal(state, l.config.Seed) {
		l.planted.Store(true)
	}
}
