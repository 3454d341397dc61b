package cloud

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// A budget bounds what a stack sends, because that is what it costs. What a client can cause besides counts as messages that
// cost as much: topics beyond its first, changes of them, and reads of many topics. All environments of the function add up in the table what
// they have sent in a minute. A message whose audience is larger than what is left reaches a part of it.
type budget struct {
	registry *registry
	rate     int64 // messages a second that clients get, on average over a minute, as they are billed; 0: as many as there are

	mu       sync.Mutex
	minute   int64
	known    int64 // sent in this minute, according to the table
	own      int64 // and by this environment since it has told the table
	reported time.Time
}

const (
	// billed is how many bytes are billed as one message.
	// https://aws.amazon.com/api-gateway/pricing/
	billed = 32 << 10
	// reportEvery is how often an environment tells the table what it has sent, at most.
	reportEvery = time.Second
)

// units returns as how many messages a post is billed.
func units(size int) int64 { return max(1, int64(size+billed-1)/billed) }

// left returns how many messages clients may still get in this minute.
func (b *budget) left(now time.Time) int64 {
	if b.rate == 0 {
		return math.MaxInt64
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Unix()/60 != b.minute {
		return 60 * b.rate
	}
	return max(0, 60*b.rate-b.known-b.own)
}

// readsOf is how many reads of the table cost as much as a message. A write costs somewhat less than one.
// https://aws.amazon.com/dynamodb/pricing/on-demand/
const readsOf = 8

// afford reports whether something may be done that costs as much as so many messages, besides those that it sends, and counts
// it. If it may not, the sender is told.
func (e *errand) afford(ctx context.Context, n int64) (ok bool, err error) {
	if err := e.budget.learn(ctx, e.now()); err != nil {
		return false, err
	}
	if e.budget.left(e.now()) == 0 {
		sentence := fmt.Sprintf("this stack sends no more messages in this minute: %d a second are its limit, on average", e.budget.rate)
		return false, cmp.Or(e.refuse(ctx, sentence), errRefused)
	}
	e.count.units.Add(n)
	return true, nil
}

// audience returns how many clients may get a publication, of most.
func (b *budget) audience(now time.Time, p *publication, most int) int {
	size := int64(0)
	for _, b := range p.bodiesFor("") {
		size += units(len(b.data))
	}
	return int(min(int64(most), b.left(now)/max(1, size)))
}

// learn asks the table what others have sent, if this environment has sent nothing in this minute yet.
func (b *budget) learn(ctx context.Context, now time.Time) error {
	b.mu.Lock()
	known := b.rate == 0 || b.minute == now.Unix()/60
	b.mu.Unlock()
	if known {
		return nil
	}
	total, err := b.registry.spend(ctx, now.Unix()/60, 0)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.minute, b.known, b.own = now.Unix()/60, total, 0
	return nil
}

// spend counts what was sent.
func (b *budget) spend(ctx context.Context, now time.Time, n int64) error {
	if b.rate == 0 || n == 0 {
		return nil
	}
	report, minute := b.count(now, n)
	if report == 0 {
		return nil
	}
	total, err := b.registry.spend(ctx, minute, report)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.minute == minute {
		b.known = max(b.known, total)
	}
	return nil
}

// spend counts what was sent for a request. If the table does not answer, other environments do not know of it.
func (h *handler) spend(ctx context.Context, request string, n int64) {
	if err := h.budget.spend(ctx, h.now(), n); err != nil {
		h.log.Error("clean up", "requestId", request, "error", err)
	}
}

// count counts what was sent and returns what the table should be told now.
func (b *budget) count(now time.Time, n int64) (report, minute int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if minute = now.Unix() / 60; minute != b.minute {
		b.minute, b.known, b.own = minute, 0, 0
	}
	b.own += n
	if now.Sub(b.reported) < reportEvery && b.own < b.rate {
		return 0, minute
	}
	report, b.own, b.reported = b.own, 0, now
	b.known += report
	return report, minute
}

// spend adds to what was sent in a minute, and returns the sum.
func (r *registry) spend(ctx context.Context, minute, n int64) (total int64, err error) {
	out, err := r.db.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName:        &r.table,
		Key:              item{"pk": text("s#" + strconv.FormatInt(minute, 10)), "sk": text("s")},
		UpdateExpression: aws.String("ADD sent :n SET exp = :exp"),
		ExpressionAttributeValues: item{
			":n": &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}, ":exp": seconds(time.Unix((minute+2)*60, 0)),
		},
		ReturnValues: types.ReturnValueUpdatedNew,
	})
	if err != nil {
		return 0, fmt.Errorf("count what was sent: %w", err)
	}
	if sent, ok := out.Attributes["sent"].(*types.AttributeValueMemberN); ok {
		total, err = strconv.ParseInt(sent.Value, 10, 64)
	}
	return total, err
}
