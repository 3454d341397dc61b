package cluster

import "context"

// A state is how this server stands to its log.
//
//	starting → ready ⇄ held, leaderless, isolated, lagging
//	   ↑         ↓
//	   └──── cut off: dead, isolated for long, or the log is gone
//
// closing and stopped are for good.
type state uint8

const (
	stateStarting   state = iota // the own hello is not applied yet
	stateReady                   // the gate is open
	stateHeld                    // the own tick is not acknowledged
	stateLeaderless              // nobody leads the stream
	stateIsolated                // no majority is in reach
	stateLagging                 // a live server has much to apply still
	stateCutOff                  // there is no incarnation
	stateClosing                 // Close has been called
	stateStopped                 // for good
)

func (s state) String() string {
	return [...]string{"starting", "ready", "held", "no leader", "no quorum", "lagging", "cut off", "closing",
		"stopped"}[s]
}

// state returns what the state is. mu is locked.
func (l *Log) state() state {
	switch {
	case l.ended != nil:
		return stateStopped
	case l.closing:
		return stateClosing
	case l.inc == nil:
		return stateCutOff
	case l.health == isolated:
		return stateIsolated
	case l.health == leaderless:
		return stateLeaderless
	case !l.inc.live:
		return stateStarting
	case l.held:
		return stateHeld
	case l.lagging:
		return stateLagging
	}
	return stateReady
}

// look opens or shuts the gate after something has changed, and tells those that
// wait for it. mu is locked.
func (l *Log) look() {
	l.open = l.state() == stateReady
	if l.retry != nil && (l.ended != nil || l.closing || l.room()) {
		close(l.retry)
		l.retry = nil
	}
}

// room reports whether Append takes a record. mu is locked.
func (l *Log) room() bool { return l.open && l.inc.bytes < maxQueue }

// Ready reports whether this server can serve clients, and if not, why.
func (l *Log) Ready() (ok bool, why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.state()
	if s == stateReady || s == stateLagging { // it is others that lag
		return true, ""
	}
	if s == stateStopped {
		return false, l.ended.Error()
	}
	return false, s.String()
}

// Await waits while the servers elect a leader, until ctx is done. It reports
// whether this server can serve clients then.
func (l *Log) Await(ctx context.Context) bool {
	ready := false
	err := l.wait(ctx, func() bool {
		s := l.state()
		ready = s == stateReady || s == stateLagging
		return s != stateHeld && s != stateLeaderless
	})
	return err == nil && ready
}

// Append appends a record to the log. It copies data, and never waits: ErrBusy
// means that the gate is shut, see Retry. Once the record is applied, the machine
// is given own with it; if it never will be, own comes with a Lost.
func (l *Log) Append(data []byte, own any) error {
	if len(data) > l.config.MaxRecord {
		return ErrTooLarge
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.ended != nil:
		return l.ended
	case l.closing:
		return ErrClosed
	case !l.room():
		return ErrBusy
	}
	l.inc.append(data, own)
	l.wakePublisher()
	return nil
}

// Retry returns a channel that is closed when it may be worth appending again. Get
// it before trying, so that no change is missed.
func (l *Log) Retry() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.retry == nil {
		l.retry = make(chan struct{})
	}
	return l.retry
}
