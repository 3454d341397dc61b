package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
)

// A watcher follows one piece of work of CloudFormation's to its end.
type watcher struct {
	c *Client
	// id is the stack's. The name stops working when a stack is removed.
	id string
	// seen has the ids of the events that were told of, and of those from before. It is as large as the stack's history at most.
	seen map[string]bool
	// now is the stack's status according to the events.
	now Status
	// failed is the first failure, from which everything after it follows.
	failed *Progress
}

// newWatcher returns a watcher who tells of nothing that has happened so far. It has to be made before the work is started.
func (c *Client) newWatcher(ctx context.Context, id string) (*watcher, error) {
	w := &watcher{c: c, id: id, seen: map[string]bool{}}
	_, err := w.news(ctx)
	return w, err
}

// patience is how many times CloudFormation is asked again when a stack is at rest and its events do not say so. Its
// answers may be older than what was started last, and whoever plays it may have no events for the stack itself.
const patience = 5

// watch tells of events until CloudFormation has stopped working on the stack, and returns the stack then; nil if it is gone.
// A context that ends leaves CloudFormation at work.
func (w *watcher) watch(ctx context.Context) (*Stack, error) {
	for doubts := 0; ; {
		// The status first: what led to it is among the events that are read after it.
		stack, err := w.c.find(ctx, w.id)
		if err == nil {
			err = w.tell(ctx)
		}
		if err != nil {
			return nil, err
		}
		if stack == nil {
			return nil, nil
		}
		if !stack.Status.Busy() {
			if doubts++; stack.Status == w.now || doubts > patience {
				return stack, nil
			}
		}
		if !w.c.pause(ctx) {
			return nil, ErrInterrupted
		}
	}
}

func (w *watcher) tell(ctx context.Context) error {
	events, err := w.news(ctx)
	if err != nil {
		return err
	}
	for _, e := range events {
		p := Progress{
			Resource: aws.ToString(e.LogicalResourceId),
			Type:     aws.ToString(e.ResourceType),
			Status:   Status(e.ResourceStatus),
			Reason:   aws.ToString(e.ResourceStatusReason),
			Time:     aws.ToTime(e.Timestamp),
		}
		if p.Type == "AWS::CloudFormation::Stack" { // there are no others in the template
			w.now = p.Status
		} else if w.failed == nil && p.Status.Failed() && !strings.Contains(p.Reason, "cancelled") {
			w.failed = &p // what was under way meanwhile is cancelled, and has failed for that
		}
		w.c.tell(p)
	}
	return nil
}

// news returns the events that were not seen before, the oldest first. CloudFormation lists the newest first, so it is
// read until there is one that was seen.
func (w *watcher) news(ctx context.Context) (events []types.StackEvent, err error) {
	pages := cloudformation.NewDescribeStackEventsPaginator(w.c.stacks, &cloudformation.DescribeStackEventsInput{StackName: &w.id})
	for old := false; !old && pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if gone(err) {
			break
		}
		if err != nil {
			return nil, w.c.explain(ctx, "reading what CloudFormation does", err)
		}
		for _, e := range page.StackEvents {
			if id := aws.ToString(e.EventId); w.seen[id] {
				old = true
			} else {
				w.seen[id] = true
				events = append(events, e)
			}
		}
	}
	// Stable, for those of the same moment.
	slices.Reverse(events)
	slices.SortStableFunc(events, func(a, b types.StackEvent) int { return aws.ToTime(a.Timestamp).Compare(aws.ToTime(b.Timestamp)) })
	return events, nil
}

// why says what went wrong first, and what to do about it where that is known.
func (w *watcher) why(stack *Stack) string {
	resource, kind, reason := stack.Name, "", stack.Reason
	if w.failed != nil {
		resource, kind, reason = w.failed.Resource, " ("+w.failed.Type+")", w.failed.Reason
	}
	if reason == "" {
		reason = "CloudFormation does not say why; the console does: https://console.aws.amazon.com/cloudformation"
	}
	text := fmt.Sprintf("%s%s: %s", resource, kind, reason)
	if action := deniedIn(reason); action != "" {
		text += fmt.Sprintf("\nyou are not permitted to do %s; %s", action, policyHint)
	}
	return text
}

// interrupted says that CloudFormation goes on although nobody watches any more, for whatever reason.
func (c *Client) interrupted(err error, name string) error {
	between := "\n"
	if errors.Is(err, ErrInterrupted) {
		between = ": "
	}
	return fmt.Errorf("%w%sCloudFormation goes on without us; to look again: %s", err, between, c.command("info", name))
}
