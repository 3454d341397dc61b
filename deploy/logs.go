package deploy

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
)

// A Line is one line of a function's log.
type Line struct {
	Time time.Time
	Text string // without a newline at its end
}

const (
	// late is by how much a line can come after others of its time: the function's environments write on their own.
	late = 10 * time.Second
	// maxSeen bounds what is remembered in order not to show a line twice, to some megabytes. When more than that is
	// logged within late, lines that come late are missed.
	maxSeen = 50_000
)

// Logs hands the lines that a stack's function has logged since a moment to each, in the order of their times as far as
// they are there. With follow it goes on until the context ends, which is no error then.
//
// It asks for new lines again and again, and does not use CloudWatch's live tail: that ends after three hours, leaves out
// lines when there are many, and costs by the minute.
func (c *Client) Logs(ctx context.Context, name string, since time.Time, follow bool, each func(Line) error) error {
	stack, err := c.Info(ctx, name)
	if err != nil {
		return err
	}
	t := tail{c: c, group: stack.LogGroup, from: since.UnixMilli(), seen: map[string]int64{}}
	for {
		if err := t.read(ctx, each); err != nil {
			if follow && ctx.Err() != nil {
				return nil
			}
			return err
		}
		if !follow || !c.pause(ctx) {
			return nil
		}
	}
}

// A tail knows how far a log has been read.
type tail struct {
	c     *Client
	group string
	// from is the time, in milliseconds, from which on lines are asked for: late before the newest that was seen.
	from int64
	// seen has the ids of the lines from then on that were handed out, with their times.
	seen map[string]int64
	// same counts lines of one reading that have no id and are equal. AWS gives every line an id; programs that imitate it may not.
	same map[string]int
}

// read hands out what is new.
func (t *tail) read(ctx context.Context, each func(Line) error) error {
	pages := cloudwatchlogs.NewFilterLogEventsPaginator(t.c.logs, &cloudwatchlogs.FilterLogEventsInput{
		LogGroupName: &t.group, StartTime: &t.from,
	})
	newest := t.from
	t.same = make(map[string]int)
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if isCode(err, "ResourceNotFoundException") {
			return nil // removed meanwhile
		}
		if err != nil {
			return t.c.explain(ctx, "reading the log", err)
		}
		for _, e := range page.Events {
			newest = max(newest, aws.ToInt64(e.Timestamp))
			if err := t.hand(e, each); err != nil {
				return err
			}
		}
	}
	t.forget(newest)
	return nil
}

func (t *tail) hand(e types.FilteredLogEvent, each func(Line) error) error {
	id, at := aws.ToString(e.EventId), aws.ToInt64(e.Timestamp)
	if id == "" {
		id = fmt.Sprintln(aws.ToString(e.LogStreamName), at, aws.ToString(e.Message))
		t.same[id]++
		id += strconv.Itoa(t.same[id])
	}
	if _, ok := t.seen[id]; ok {
		return nil
	}
	t.seen[id] = at
	return each(Line{Time: time.UnixMilli(at), Text: strings.TrimRight(aws.ToString(e.Message), "\n")})
}

// forget moves on, and drops what will not be asked for again.
func (t *tail) forget(newest int64) {
	t.from = max(t.from, newest-late.Milliseconds())
	if len(t.seen) > maxSeen {
		times := slices.Sorted(maps.Values(t.seen))
		t.from = max(t.from, times[len(times)-maxSeen])
	}
	maps.DeleteFunc(t.seen, func(_ string, at int64) bool { return at < t.from })
}
