package cluster

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
)

// listen begins to deliver what is stored, and to answer questions.
func (j *jetStream) listen() (err error) {
	var subscriptions []*nats.Subscription
	defer func() {
		if err != nil {
			for _, s := range subscriptions {
				s.Unsubscribe()
			}
		}
	}()
	for _, subject := range []string{liveSubject, askSubject} {
		s, err := j.conn.SubscribeSync(subject)
		if err != nil {
			return fmt.Errorf("listen to the log: %w", err)
		}
		subscriptions = append(subscriptions, s)
		if err := s.SetPendingLimits(liveMessages, liveBytes); err != nil {
			return fmt.Errorf("listen to the log: %w", err)
		}
	}
	// When NATS has answered, it knows of both subscriptions, and has denied
	// what it denies.
	if err := j.conn.FlushTimeout(patience); err != nil {
		return fmt.Errorf("listen to the log: %w", err)
	}
	if err := j.explainDenial(); err != nil {
		return err
	}
	j.work.Go(func() { j.deliver(subscriptions[0]) })
	j.work.Go(func() { j.answer(subscriptions[1]) })
	return nil
}

// deliver hands over what is republished until Close.
func (j *jetStream) deliver(live *nats.Subscription) {
	for {
		m, ok := j.next(live)
		if !ok {
			return
		}
		if seq, err := sequence(m); err == nil {
			j.callbacks.deliver(message{seq, m.Data})
		} else {
			j.log.Debug("Somebody else publishes in " + liveSubject)
		}
	}
}

// answer answers questions until Close. It waits for its answers.
func (j *jetStream) answer(questions *nats.Subscription) {
	free := make(chan struct{}, answering)
	for {
		m, ok := j.next(questions)
		if !ok {
			return
		}
		select {
		case free <- struct{}{}:
		case <-j.ctx.Done():
			return
		}
		j.work.Go(func() {
			defer func() { <-free }()
			if answer := j.callbacks.respond(m.Data); answer != nil {
				if err := m.Respond(answer); err != nil {
					j.log.Warn("A question of another server is not answered", "error", err)
				}
			}
		})
	}
}

// next returns the next message, or false when the backend is closed.
func (j *jetStream) next(s *nats.Subscription) (*nats.Msg, bool) {
	for {
		m, err := s.NextMsgWithContext(j.ctx)
		switch {
		case err == nil:
			return m, true
		case errors.Is(err, nats.ErrSlowConsumer): // some are dropped; there are more
		case j.ctx.Err() != nil:
			return nil, false
		default:
			j.log.Error("The log is not delivered any more", "error", err)
			return nil, false
		}
	}
}

// Ask sends a question to all other servers. The connection is one that gets
// nothing of what it sends itself.
func (j *jetStream) Ask(ctx context.Context, question []byte, each func(answer []byte) bool) error {
	inbox := j.conn.NewInbox()
	answers, err := j.conn.SubscribeSync(inbox)
	if err != nil {
		return fmt.Errorf("ask the other servers: %w", err)
	}
	defer answers.Unsubscribe()
	if err := j.conn.PublishRequest(askSubject, inbox, question); err != nil {
		return fmt.Errorf("ask the other servers: %w", err)
	}
	for {
		m, err := answers.NextMsgWithContext(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("ask the other servers: %w", err)
		case m.Header.Get("Status") == statusNoResponders:
			return nil // nobody has got the question
		case !each(m.Data):
			return nil
		}
	}
}

// Close ends the backend. Nothing is delivered afterwards.
func (j *jetStream) Close() {
	j.cancel()
	j.work.Wait()
	j.conn.Close()
	j.stop()
}
