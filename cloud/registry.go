package cloud

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// A registry knows who is connected and who is in which topic. It is one table:
//
//	item         pk             sk              attributes
//	membership   t#<topic>#0    connection id   exp, ends, hangs
//	connection   c#<id>         c               exp, user, silent, topics and mute (sets), may
//	minute       s#<minute>     s               exp, sent: messages that clients got in it
//	window       w#<hash>       w               exp, said: messages that are posted together; who has taken which last
//	task         r#<id>         r               exp, claimant, reached, lease, finished: how far the rest of a publication is
//
// exp is when DynamoDB may delete the row, in seconds since 1970. The 0 is a shard: there is one, for API Gateway's
// quotas are reached before a partition's. may is what the client may do, in JSON, and ends is when that ends, in
// seconds since 1970; there is neither without a token. hangs is until when a client is left out that did not answer.
//
// A connection's row is written before its memberships and deleted before them, so that a membership without it is an
// orphan: posts to it get 410, and it is removed; or it expires.
type registry struct {
	db    *dynamodb.Client
	table string
	page  int32 // rows of a query at most; 0: as many as DynamoDB returns
}

type item = map[string]types.AttributeValue

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func seconds(t time.Time) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(t.Unix(), 10)}
}

func connectionKey(id string) item { return item{"pk": text("c#" + id), "sk": text("c")} }

func topicKey(topic string) string { return "t#" + topic + "#0" }

func membershipKey(topic, id string) item { return item{"pk": text(topicKey(topic)), "sk": text(id)} }

// add registers a connection with its topics.
func (r *registry) add(ctx context.Context, c *connection) error {
	row, err := c.row()
	if err != nil {
		return err
	}
	// If the answer is lost, the SDK writes again, and finds what it has written.
	if written, err := r.putNew(ctx, row, "exp"); err != nil || !written {
		return fmt.Errorf("register the connection: %w", cmp.Or(err, errRegistered))
	}
	writes := make([]types.WriteRequest, len(c.Topics))
	for i, topic := range c.Topics {
		writes[i].PutRequest = &types.PutRequest{Item: c.membership(topic)}
	}
	if err := r.write(ctx, writes); err != nil {
		return fmt.Errorf("register the connection's topics: %w", err)
	}
	return nil
}

var errRegistered = errors.New("its id is another's already")

// putNew writes a row, and reports whether it has: not if there is one with its key and another value of the attribute.
func (r *registry) putNew(ctx context.Context, row item, attribute string) (written bool, err error) {
	_, err = r.db.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &r.table, Item: row,
		ConditionExpression:       aws.String("attribute_not_exists(pk) OR " + attribute + " = :own"),
		ExpressionAttributeValues: item{":own": row[attribute]},
	})
	if _, exists := errors.AsType[*types.ConditionalCheckFailedException](err); exists {
		return false, nil
	}
	return err == nil, err
}

// get returns what is remembered of a connection; nil if it is not registered.
func (r *registry) get(ctx context.Context, id string) (*connection, error) {
	// A message may come right behind the handshake: the row must be seen.
	out, err := r.db.GetItem(ctx, &dynamodb.GetItemInput{TableName: &r.table, Key: connectionKey(id), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return nil, fmt.Errorf("look the connection up: %w", err)
	}
	if out.Item == nil {
		return nil, nil
	}
	return readConnection(id, out.Item)
}

// subscribe puts a registered connection into a topic.
func (r *registry) subscribe(ctx context.Context, c *connection, topic string) error {
	if err := r.change(ctx, c.ID, "ADD", topic); err != nil {
		return fmt.Errorf("subscribe the connection: %w", err)
	}
	if _, err := r.db.PutItem(ctx, &dynamodb.PutItemInput{TableName: &r.table, Item: c.membership(topic)}); err != nil {
		return fmt.Errorf("subscribe the connection: %w", err)
	}
	c.Topics = append(c.Topics, topic)
	return nil
}

// unsubscribe takes a connection out of a topic.
func (r *registry) unsubscribe(ctx context.Context, c *connection, topic string) error {
	_, err := r.db.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &r.table, Key: membershipKey(topic, c.ID)})
	if err == nil {
		err = r.change(ctx, c.ID, "DELETE", topic)
	}
	if err != nil {
		return fmt.Errorf("unsubscribe the connection: %w", err)
	}
	c.Topics = slices.DeleteFunc(c.Topics, func(t string) bool { return t == topic })
	return nil
}

// change adds a topic to a connection's row or deletes it there, if there is a row.
func (r *registry) change(ctx context.Context, id, verb, topic string) error {
	_, err := r.db.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName:                 &r.table,
		Key:                       connectionKey(id),
		UpdateExpression:          aws.String(verb + " topics :t"),
		ConditionExpression:       aws.String("attribute_exists(pk)"),
		ExpressionAttributeValues: item{":t": topicSet([]string{topic})},
	})
	var missing *types.ConditionalCheckFailedException
	if errors.As(err, &missing) {
		return errUnknown
	}
	return err
}

// noteHanging notes that a member is to be left out until then.
func (r *registry) noteHanging(ctx context.Context, m member, until time.Time) error {
	_, err := r.db.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName:                 &r.table,
		Key:                       membershipKey(m.topic, m.id),
		UpdateExpression:          aws.String("SET hangs = :until"),
		ConditionExpression:       aws.String("attribute_exists(pk)"),
		ExpressionAttributeValues: item{":until": seconds(until)},
	})
	if _, missing := errors.AsType[*types.ConditionalCheckFailedException](err); missing {
		return nil // it has left
	}
	if err != nil {
		return fmt.Errorf("note that a client does not answer: %w", err)
	}
	return nil
}

// remove forgets a connection, and its membership in topics that its row may not know of.
func (r *registry) remove(ctx context.Context, id string, topics []string) error {
	out, err := r.db.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &r.table, Key: connectionKey(id), ReturnValues: types.ReturnValueAllOld})
	if err != nil {
		return fmt.Errorf("remove the connection: %w", err)
	}
	known := make(map[string]bool)
	var writes []types.WriteRequest
	for _, topic := range append(readTopics(out.Attributes, "topics"), topics...) {
		if !known[topic] {
			known[topic] = true
			writes = append(writes, types.WriteRequest{DeleteRequest: &types.DeleteRequest{Key: membershipKey(topic, id)}})
		}
	}
	if err := r.write(ctx, writes); err != nil {
		return fmt.Errorf("remove the connection from its topics: %w", err)
	}
	return nil
}

// maxBatch is how many items a batch may have.
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html
const maxBatch = 25

// write carries writes out in batches; what DynamoDB leaves undone is tried again.
func (r *registry) write(ctx context.Context, writes []types.WriteRequest) error {
	for wait := firstWait; len(writes) > 0; {
		batch := writes[:min(len(writes), maxBatch)]
		out, err := r.db.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{r.table: batch}})
		if err != nil {
			return err
		}
		writes = writes[len(batch):]
		undone := out.UnprocessedItems[r.table]
		if len(undone) == 0 {
			continue
		}
		writes = append(undone, writes...)
		if err := pause(ctx, rand.N(wait)); err != nil {
			return fmt.Errorf("%d items are left: %w", len(writes), err)
		}
		wait = min(2*wait, maxWait)
	}
	return nil
}

// pause waits, unless ctx is done first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A member is a connection in a topic.
type member struct {
	id      string
	expires time.Time
	until   time.Time // when what it may hear ends; zero: never
	hangs   time.Time // until when it is left out, because it did not answer; zero: it did
	topic   string
}

// over reports whether the client may not hear anything any more.
func (m member) over(now time.Time) bool { return !m.until.IsZero() && !now.Before(m.until) }

// members returns who is in any of the topics, each once, in the order of their ids, beginning behind one.
func (r *registry) members(ctx context.Context, topics []string, after string) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		streams := make([]*memberStream, len(topics))
		for i, topic := range topics {
			streams[i] = &memberStream{registry: r, topic: topic, after: after}
		}
		for {
			var first *memberStream
			for _, s := range streams {
				if err := s.fill(ctx); err != nil {
					yield(member{}, fmt.Errorf("look up who is in a topic: %w", err))
					return
				}
				if len(s.rows) > 0 && (first == nil || s.rows[0].id < first.rows[0].id) {
					first = s
				}
			}
			if first == nil {
				return
			}
			m := first.rows[0]
			for _, s := range streams {
				if len(s.rows) > 0 && s.rows[0].id == m.id {
					s.rows = s.rows[1:]
				}
			}
			if time.Now().Before(m.expires) && !yield(m, nil) {
				return
			}
		}
	}
}

// least stands behind an id: all ids are longer than it and equally long, and all of their characters are greater. A key
// must not be compared with an empty text.
const least = " "

// A memberStream reads one topic's members, page by page.
type memberStream struct {
	registry *registry
	topic    string
	after    string
	rows     []member // read and not taken
	next     item     // where the next page begins
	ended    bool
}

// fill sees that there are rows, if there are any more.
func (s *memberStream) fill(ctx context.Context) error {
	for len(s.rows) == 0 && !s.ended {
		query := &dynamodb.QueryInput{
			TableName:                 &s.registry.table,
			ConsistentRead:            aws.Bool(true), // whoever is told that it is in a topic is in it
			KeyConditionExpression:    aws.String("pk = :topic AND sk > :after"),
			ExpressionAttributeValues: item{":topic": text(topicKey(s.topic)), ":after": text(s.after + least)},
			ProjectionExpression:      aws.String("sk, exp, ends, hangs"),
			ExclusiveStartKey:         s.next,
		}
		if s.registry.page > 0 {
			query.Limit = &s.registry.page
		}
		out, err := s.registry.db.Query(ctx, query)
		if err != nil {
			return err
		}
		for _, row := range out.Items {
			s.rows = append(s.rows, readMember(row, s.topic))
		}
		s.next = out.LastEvaluatedKey
		s.ended = s.next == nil
	}
	return nil
}
