package cloud

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"crier/app"
)

// A task is the rest of a publication, which asynchronous invocations see to. Lambda may hand its event out more than once,
// and does so a minute after an invocation that failed. The table knows how far the task is, so that no other invocation does
// again what was done.
//
//	         take             progress              finish
//	no row ────────▶ leased ───────────▶ leased ────────────▶ finished
//	                   ▲                   │
//	                   ╰──── take: the lease is over
type task struct {
	registry *registry
	key      item
	claimant string
	reached  string // members with ids up to this one have been posted to
	handed   bool   // to another invocation, or nearly so: it has a task of its own
}

const (
	// lease is how long a task belongs to an invocation that says nothing. Lambda waits for a minute before it hands out again
	// what has failed. https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
	lease = 50 * time.Second
	// stride is how many members are posted to between two notes of how far a task is. If the function dies, so many at most
	// get the message again. A stride takes half a second, and half a minute if everything is throttled.
	stride = 2000
	// taskLife is how long a finished task is remembered.
	taskLife = time.Hour
)

var (
	errFinished = errors.New("it is finished")
	errTaken    = errors.New("another invocation goes on with it")
)

// take returns a task, whose members up to after are seen to elsewhere. The error is errFinished, or errTaken, which may be
// over a minute later.
func (r *registry) take(ctx context.Context, what, after, claimant string) (*task, error) {
	t := &task{registry: r, key: item{"pk": text("r#" + what), "sk": text("r")}, claimant: claimant}
	now := time.Now()
	out, err := r.db.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName:           &r.table,
		Key:                 t.key,
		UpdateExpression:    aws.String("SET claimant = :me, lease = :lease, exp = :exp, reached = if_not_exists(reached, :after)"),
		ConditionExpression: aws.String("attribute_not_exists(finished) AND (attribute_not_exists(pk) OR claimant = :me OR lease < :now)"),
		ExpressionAttributeValues: item{
			":me": text(claimant), ":lease": seconds(now.Add(lease)), ":exp": seconds(now.Add(taskLife)), ":after": text(mark + after), ":now": seconds(now),
		},
		ReturnValues: types.ReturnValueAllNew,
	})
	if _, refused := errors.AsType[*types.ConditionalCheckFailedException](err); refused {
		return nil, t.whose(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("take what is left: %w", err)
	}
	if reached, ok := out.Attributes["reached"].(*types.AttributeValueMemberS); ok {
		t.reached = reached.Value[len(mark):]
	}
	_, t.handed = out.Attributes["handed"]
	return t, nil
}

// whose returns why a task cannot be taken.
func (t *task) whose(ctx context.Context) error {
	out, err := t.registry.db.GetItem(ctx, &dynamodb.GetItemInput{TableName: &t.registry.table, Key: t.key, ConsistentRead: aws.Bool(true)})
	if err != nil {
		return fmt.Errorf("take what is left: %w", err)
	}
	if _, finished := out.Item["finished"]; finished {
		return errFinished
	}
	return errTaken
}

// progress notes how far the task is. The error is errTaken if it belongs to another invocation by now.
func (t *task) progress(ctx context.Context, reached string) error {
	t.reached = reached
	return t.note(ctx, "SET reached = :value, lease = :lease", text(mark+reached), item{":lease": seconds(time.Now().Add(lease))})
}

// hand notes that another invocation goes on from there.
func (t *task) hand(ctx context.Context, reached string) error {
	return t.note(ctx, "SET reached = :value, handed = :value", text(mark+reached), item{})
}

// finish notes that nothing is left of the task.
func (t *task) finish(ctx context.Context) error {
	return t.note(ctx, "SET finished = :value", &types.AttributeValueMemberBOOL{Value: true}, item{})
}

func (t *task) note(ctx context.Context, update string, value types.AttributeValue, values item) error {
	values[":value"], values[":me"] = value, text(t.claimant)
	_, err := t.registry.db.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName:                 &t.registry.table,
		Key:                       t.key,
		UpdateExpression:          &update,
		ConditionExpression:       aws.String("claimant = :me"),
		ExpressionAttributeValues: values,
	})
	if _, refused := errors.AsType[*types.ConditionalCheckFailedException](err); refused {
		return errTaken
	}
	if err != nil {
		return fmt.Errorf("note how far a message is: %w", err)
	}
	return nil
}

// goOn sees to the rest of a publication.
func (h *handler) goOn(ctx context.Context, r *rest, claimant string) error {
	start := time.Now()
	t, err := h.registry.take(ctx, fmt.Sprintf("%s#%d#%s", r.Request, r.Rests, r.After), r.After, claimant)
	if err != nil {
		return h.reportTask(r, err)
	}
	var count counts
	err = h.seeTo(ctx, start, t, r, &count)
	for _, m := range r.Messages {
		h.tellMissed(ctx, r.Endpoint, m, &count)
	}
	h.reportMessage(r.Request, r.Messages[0].Sender, start, len(r.Messages[0].Data), &count, err)
	return err
}

// seeTo posts to what is left of an audience, or to as much of it as there is time for, stride by stride.
func (h *handler) seeTo(ctx context.Context, start time.Time, t *task, r *rest, count *counts) error {
	p := &publication{endpoint: r.Endpoint, request: r.Request, topics: r.Topics, rests: r.Rests, messages: r.Messages}
	if err := h.budget.learn(ctx, h.now()); err != nil {
		return err
	}
	for n := 0; !t.handed; n += h.stride {
		p.after, p.most = t.reached, h.budget.audience(h.now(), p, min(h.stride, h.audience-n))
		spent := count.units.Load()
		d, err := h.deliver(ctx, start, p, count)
		d.finish(ctx)
		h.spend(ctx, r.Request, count.units.Load()-spent)
		if err != nil {
			return err
		}
		switch {
		case d.left == nobody:
			return t.finish(ctx)
		case p.most == 0:
			for _, m := range r.Messages {
				h.reply(ctx, r.Endpoint, m, app.AppendErrorFrame(nil, h.tooMany(), m.Sender, m.Request))
			}
			return t.finish(ctx)
		case n+h.stride >= h.audience || d.late():
			t.reached, t.handed = d.reached, true
			err = t.hand(ctx, d.reached)
		default:
			err = t.progress(ctx, d.reached)
		}
		if err != nil {
			return err
		}
	}
	if err := h.handOver(ctx, p, t.reached, count); err != nil {
		return err
	}
	return t.finish(ctx)
}
