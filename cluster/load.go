package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
)

// How JetStream says something in the Status header of a message.
const (
	statusEnd          = "204" // of a batch
	statusNotFound     = "404"
	statusNoResponders = "503"
)

// Load returns stored messages with consecutive numbers, from one on.
func (j *jetStream) Load(ctx context.Context, from uint64, fresh bool) ([]message, error) {
	if from == 0 {
		return nil, errNone // for JetStream, 0 is no number
	}
	load := j.loadAny
	if fresh {
		load = j.loadFresh
	}
	messages, err := load(ctx, from)
	if len(messages) > 0 {
		return messages, nil
	}
	if err == nil {
		err = errNone
	}
	if !errors.Is(err, errNone) {
		err = fmt.Errorf("load batches from %d on: %w", from, err)
	}
	return nil, err
}

// loadAny gets many messages with one question, from any server that has the
// stream (ADR-31 of NATS). It returns what it has got although there may be an
// error.
func (j *jetStream) loadAny(ctx context.Context, from uint64) (got []message, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	question, err := json.Marshal(struct {
		Seq      uint64 `json:"seq"`
		Batch    int    `json:"batch"`
		MaxBytes int    `json:"max_bytes"`
	}{from, loadMessages, loadBytes})
	if err != nil {
		return nil, err
	}
	inbox := j.conn.NewInbox()
	answers, err := j.conn.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer answers.Unsubscribe()
	if err := j.conn.PublishRequest("$JS.API.DIRECT.GET."+streamName, inbox, question); err != nil {
		return nil, err
	}
	for len(got) < loadMessages {
		m, err := answers.NextMsgWithContext(ctx)
		if err != nil {
			return got, err
		}
		switch status := m.Header.Get("Status"); status {
		case "":
		case statusEnd, statusNotFound:
			return got, nil
		case statusNoResponders:
			return got, nats.ErrNoResponders
		default:
			return got, fmt.Errorf("NATS says %s %s", status, m.Header.Get("Description"))
		}
		seq, err := sequence(m)
		if err != nil {
			return got, err
		}
		if seq != from+uint64(len(got)) {
			return got, nil // what was before it has been removed
		}
		got = append(got, message{seq, m.Data})
	}
	return got, nil
}

// loadFresh gets a few messages from the leader.
func (j *jetStream) loadFresh(ctx context.Context, from uint64) (got []message, err error) {
	for len(got) < freshMessages {
		seq := from + uint64(len(got))
		var answer struct {
			Message struct {
				Data []byte `json:"data"`
			} `json:"message"`
		}
		err := j.api(ctx, "STREAM.MSG.GET", &struct {
			Seq uint64 `json:"seq"`
		}{seq}, &answer)
		if code(err) == jsNoMessage {
			return got, nil
		}
		if err != nil {
			return got, err
		}
		got = append(got, message{seq, answer.Message.Data})
	}
	return got, nil
}

// sequence returns the number of a message of the stream.
func sequence(m *nats.Msg) (uint64, error) {
	seq, err := strconv.ParseUint(m.Header.Get(nats.JSSequence), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read the number of a batch: %w", err)
	}
	return seq, nil
}
