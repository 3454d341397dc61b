package cloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// With --coalesce, messages to the same topics wait for a short time, the window, and are posted together. API Gateway hands
// each message to an invocation of its own, so they meet in the table: a row for each audience has the messages that wait. The
// invocation that finds the row empty keeps the window: it waits, takes what has come, and posts it. The others are done as
// soon as their message is in the row.
//
//	first message ──▶ append ── wait ── take ──▶ post all
//	others        ──▶ append
//
// If the keeper dies, the next message that comes after overdue takes what waits, unless that is stale. Whoever has taken
// messages posts them, and nobody else does.

const (
	// overdue is how long messages wait before another invocation than the keeper takes them.
	overdue = 2 * time.Second
	// mostWaiting is how many bytes wait: each append is billed by what the row has, and the posts should be one message each.
	mostWaiting = 16 << 10
	// mostTaken is how many messages are taken at once: "The maximum length of any expression string is 4 KB."
	// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html
	mostTaken = 200
	// maxKeep is how long an invocation lets others' messages wait for each other. In a busy room something always comes
	// while it takes what waits; without pauses between, there is soon a moment when nothing does.
	maxKeep = 5 * time.Second
	// stale is the age at which a message that waits is not posted any more: its keeper is dead, and nobody expects it.
	stale = time.Minute
)

// A window is the row of an audience.
type window struct {
	round    int // how often messages were taken out of it
	rows     int // of it that were read, with a message each
	messages []message
	stale    int       // messages that are too old
	size     int       // of the messages, in bytes
	since    time.Time // when the first of them came
}

func (w window) has(request string) bool {
	return slices.ContainsFunc(w.messages, func(m message) bool { return m.Request == request })
}

// windowKey returns the key of the row for the members of topics.
func windowKey(topics []string) item {
	name, _ := json.Marshal(slices.Sorted(slices.Values(topics)))
	return item{"pk": text("w#" + keyHash(string(name))), "sk": text("w")}
}

// hold publishes a message together with others that come within the window.
func (e *errand) hold(ctx context.Context, topics []string, m message) error {
	if !isLine(m.Data) || len(m.Mine) > 0 && !isLine(m.Mine) || len(m.Data) > mostWaiting {
		// What cannot wait must not overtake what does.
		if err := e.release(ctx, topics); err != nil {
			return err
		}
		return e.tell(ctx, topics, []message{m})
	}
	before, err := e.registry.append(ctx, topics, m, e.start)
	switch {
	case errors.Is(err, errTaken) || before.has(m.Request): // it is there, and whether it has a keeper is not known
		before = window{}
	case err != nil:
		return err
	}
	e.count.units.Add(int64(before.size+len(m.Data)) >> 10) // writes of the row
	switch {
	case before.rows > 0 && time.Since(before.since) < overdue && before.size+len(m.Data) < mostWaiting && before.rows < mostTaken:
		return nil // the keeper posts it
	case before.rows == 0:
		if err := pause(ctx, e.window); err != nil {
			return err
		}
	}
	return e.release(ctx, topics)
}

// release posts what waits. Messages that come while it is taken have no keeper but this one.
func (e *errand) release(ctx context.Context, topics []string) error {
	for begun := time.Now(); ; {
		waiting, err := e.registry.waiting(ctx, topics)
		if err != nil || waiting.rows == 0 {
			return err
		}
		left, err := e.registry.takeWaiting(ctx, topics, waiting, e.ev.Context.RequestID)
		if errors.Is(err, errTaken) {
			return nil
		}
		if err != nil {
			return err
		}
		if waiting.stale > 0 {
			e.count.stale.Add(int64(waiting.stale))
			e.log.Error("messages waited too long", "requestId", e.ev.Context.RequestID, "messages", waiting.stale)
		}
		if len(waiting.messages) > 0 {
			if err := e.tell(ctx, topics, waiting.messages); err != nil {
				return err
			}
		}
		switch {
		case left == 0, time.Since(e.start) > maxAnswer: // then the next message takes the rest
			return nil
		case left < mostTaken && time.Since(begun) < maxKeep:
			if err := pause(ctx, e.window); err != nil {
				return err
			}
		}
	}
}

// append adds a message to those that wait, and returns which waited before. If its answer is lost, the SDK appends again: then
// the message is in the row twice, which readWindow mends, or the error is errTaken, because the row knows which were taken last.
func (r *registry) append(ctx context.Context, topics []string, m message, now time.Time) (before window, err error) {
	out, err := r.db.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName:           &r.table,
		Key:                 windowKey(topics),
		UpdateExpression:    aws.String("SET said = list_append(if_not_exists(said, :none), :said), exp = :exp"),
		ConditionExpression: aws.String("NOT contains(latest, :id) AND NOT contains(earlier, :id)"),
		ExpressionAttributeValues: item{
			":id": text(m.Request), ":none": &types.AttributeValueMemberL{Value: []types.AttributeValue{}}, ":exp": seconds(now.Add(lifetime)),
			":said": &types.AttributeValueMemberL{Value: []types.AttributeValue{waitingRow(m, now)}},
		},
		ReturnValues: types.ReturnValueAllOld,
	})
	if _, refused := errors.AsType[*types.ConditionalCheckFailedException](err); refused {
		return window{}, errTaken
	}
	if err != nil {
		return window{}, fmt.Errorf("let a message wait: %w", err)
	}
	return readWindow(out.Attributes, all), nil
}

// waiting returns what waits, or the first part of it.
func (r *registry) waiting(ctx context.Context, topics []string) (window, error) {
	row, err := r.windowRow(ctx, topics)
	return readWindow(row, mostTaken), err
}

func (r *registry) windowRow(ctx context.Context, topics []string) (item, error) {
	out, err := r.db.GetItem(ctx, &dynamodb.GetItemInput{TableName: &r.table, Key: windowKey(topics), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return nil, fmt.Errorf("look what waits: %w", err)
	}
	return out.Item, nil
}

// takeWaiting takes the messages of w out of the row, and returns how many have come since. The error is errTaken if somebody
// else has taken them.
func (r *registry) takeWaiting(ctx context.Context, topics []string, w window, taker string) (left int, err error) {
	remove := make([]string, w.rows)
	for i := range remove {
		remove[i] = fmt.Sprintf("said[%d]", w.rows-1-i) // the last first, for tables that remove one after the other
	}
	ids := []string{"-"} // a set is never empty
	for _, m := range w.messages {
		ids = append(ids, m.Request)
	}
	taker += "#" + strconv.Itoa(w.round)
	out, err := r.db.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: &r.table,
		Key:       windowKey(topics),
		UpdateExpression: aws.String("SET taken = :next, taker1 = :taker, taker2 = if_not_exists(taker1, :none), taker3 = if_not_exists(taker2, :none), " +
			"latest = :ids, earlier = if_not_exists(latest, :none) REMOVE " + strings.Join(remove, ", ")),
		ConditionExpression: aws.String("attribute_not_exists(taken) OR taken = :before"),
		ExpressionAttributeValues: item{
			":next": number(w.round + 1), ":before": number(w.round), ":taker": text(taker), ":none": text("-"),
			":ids": &types.AttributeValueMemberSS{Value: ids},
		},
		ReturnValues: types.ReturnValueAllNew,
	})
	if _, refused := errors.AsType[*types.ConditionalCheckFailedException](err); refused {
		return r.takenBy(ctx, topics, taker)
	}
	if err != nil {
		return 0, fmt.Errorf("take what waits: %w", err)
	}
	return readWindow(out.Attributes, all).rows, nil
}

// takenBy is takeWaiting if the row is another one by now: perhaps because the taker has taken the messages, and the answer was
// lost.
func (r *registry) takenBy(ctx context.Context, topics []string, taker string) (left int, err error) {
	row, err := r.windowRow(ctx, topics)
	if err != nil {
		return 0, err
	}
	for _, last := range []string{"taker1", "taker2", "taker3"} {
		if readText(row, last) == taker {
			return readWindow(row, all).rows, nil
		}
	}
	return 0, errTaken
}

// waitingRow returns what the row has of a message. The sender's copy nearly equals the others': so only what differs is there.
func waitingRow(m message, now time.Time) types.AttributeValue {
	row := item{"r": text(m.Request), "s": text(m.Sender), "d": text(string(m.Data)), "at": number(int(now.UnixMilli()))}
	if len(m.Mine) > 0 {
		first, last := common(m.Data, m.Mine)
		row["p"], row["q"], row["m"] = number(first), number(last), text(string(m.Mine[first:len(m.Mine)-last]))
	}
	return &types.AttributeValueMemberM{Value: row}
}

// common returns how many bytes are equal at the beginning and at the end of both.
func common(a, b []byte) (first, last int) {
	most := min(len(a), len(b))
	for first < most && a[first] == b[first] {
		first++
	}
	for last < most-first && a[len(a)-1-last] == b[len(b)-1-last] {
		last++
	}
	return first, last
}

const all = math.MaxInt

// readWindow reads a row, and as many of its messages as it should.
func readWindow(row item, most int) (w window) {
	w.round = readNumber(row, "taken")
	list, _ := row["said"].(*types.AttributeValueMemberL)
	if list == nil {
		return w
	}
	seen := make(map[string]bool)
	for _, last := range []string{"latest", "earlier"} { // one of these was appended again when its answer was lost
		if ids, ok := row[last].(*types.AttributeValueMemberSS); ok {
			for _, id := range ids.Value {
				seen[id] = true
			}
		}
	}
	for _, value := range list.Value[:min(most, len(list.Value))] {
		said, _ := value.(*types.AttributeValueMemberM)
		if said == nil {
			continue
		}
		w.rows++
		at := time.UnixMilli(int64(readNumber(said.Value, "at")))
		if w.rows == 1 {
			w.since = at
		}
		m := message{Request: readText(said.Value, "r"), Sender: readText(said.Value, "s"), Data: []byte(readText(said.Value, "d"))}
		w.size += len(m.Data)
		if seen[m.Request] {
			continue
		}
		seen[m.Request] = true
		if time.Since(at) > stale {
			w.stale++
			continue
		}
		if _, own := said.Value["p"]; own {
			first, last := readNumber(said.Value, "p"), readNumber(said.Value, "q")
			m.Mine = slices.Concat(m.Data[:first], []byte(readText(said.Value, "m")), m.Data[len(m.Data)-last:])
		}
		w.messages = append(w.messages, m)
	}
	return w
}
