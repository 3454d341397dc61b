package cluster

import (
	"bytes"
	"context"
	"encoding/binary"
)

// A question carries how far the one who asks has applied the log, 8 bytes, and an
// answer the incarnation that answers, 8 bytes, and whether there is an answer, 1.

// Ask asks all other live servers. A server answers when it has applied as much as
// this one has now. Ask returns when all of them have answered, or ctx is done;
// servers is how many live, with this one.
func (l *Log) Ask(ctx context.Context, question []byte) (answers [][]byte, servers int) {
	l.mu.Lock()
	asked := make(map[Server]bool)
	for _, s := range l.servers {
		if s.ID != l.inc.number() {
			asked[s.ID] = true
		}
	}
	l.mu.Unlock()
	servers = len(asked) + 1
	if len(asked) == 0 {
		return nil, servers
	}
	q := binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(question)), l.Applied())
	q = append(q, question...)
	answered := make(map[Server]bool)
	err := l.backend.Ask(ctx, q, func(answer []byte) bool {
		r := reader{answer}
		id, has := Server(r.uint64()), r.bytes(1)
		if r.left == nil || answered[id] {
			return true
		}
		answered[id] = true
		delete(asked, id)
		if has[0] == 1 {
			answers = append(answers, r.left)
		}
		return len(asked) > 0
	})
	if err != nil && ctx.Err() == nil {
		l.log.Warn("the other servers could not be asked", "err", err)
	}
	return answers, servers
}

// respond answers a question of another server. Too many at once are dropped.
func (l *Log) respond(question []byte) []byte {
	select {
	case l.asked <- struct{}{}:
		defer func() { <-l.asked }()
	default:
		return nil
	}
	if bytes.Equal(question, whoSeeds) {
		if n := l.brings(); n > 0 {
			return binary.BigEndian.AppendUint64(nil, n)
		}
		return nil
	}
	r := reader{question}
	applied := r.uint64()
	if r.left == nil {
		return nil
	}
	l.ahead.know(applied) // if a batch has not come, it is loaded
	ctx, cancel := context.WithTimeout(l.ctx, answerTime)
	defer cancel()
	if l.Reach(ctx, applied) != nil {
		return nil
	}
	self := l.Self()
	if self == 0 {
		return nil
	}
	answer := binary.BigEndian.AppendUint64(nil, uint64(self))
	var given []byte
	if l.config.Answer != nil {
		given = l.config.Answer(r.left)
	}
	if given == nil {
		return append(answer, 0)
	}
	return append(append(answer, 1), given...)
}
