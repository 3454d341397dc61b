package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
)

const (
	// tidyTime is how long tidying up may take when the person has had enough.
	tidyTime = 15 * time.Second
	// wholeTime is how long a request may take that is not cut off half-way when the person has had enough: one would
	// not know whether CloudFormation has got it.
	wholeTime = time.Minute
)

// A Request is what is to be there.
type Request struct {
	Name string
	App  string // one of Apps; if empty, a stack that is there keeps its own, and a new one serves broadcast
	Code Code
	// Parameters are those of the template that should change, besides these. A stack that is there keeps the others.
	Parameters map[string]string
	// DryRun stops at the plan, and leaves nothing behind: no code, no bucket, no stack.
	DryRun bool
}

// A Result is what is there afterwards.
type Result struct {
	Stack   Stack // the zero value after a dry run
	Changed bool  // or would be, in a dry run
}

// Deploy creates a stack, or changes the one that is there into what is wanted. It returns when CloudFormation is done.
// A context that ends before CloudFormation has started leaves no stack behind; later, CloudFormation goes on by itself.
func (c *Client) Deploy(ctx context.Context, r Request) (Result, error) {
	if err := CheckName(r.Name); err != nil {
		return Result{}, err
	}
	account, err := c.identify(ctx)
	if err != nil {
		return Result{}, err
	}
	old, err := c.find(ctx, r.Name)
	if err != nil {
		return Result{}, err
	}
	if r.DryRun && old != nil && old.ours() && old.Status == creationUndone {
		c.tell(Leftover{old.Name, old.Status, "without --dry-run it is removed, and everything is created anew"})
		return Result{Changed: true}, nil
	}
	if old, err = c.usable(ctx, old); err != nil {
		return Result{}, err
	}
	b, key := c.bucket(account), r.Code.key(r.Name)
	if !r.DryRun {
		if err := b.upload(ctx, r.Code, key); err != nil {
			return Result{}, err
		}
	}
	p, err := c.plan(ctx, r.Name, old == nil, r.parameters(old, *b.name, key))
	if errors.Is(err, errNoChange) && old != nil {
		return Result{Stack: *old}, nil
	}
	if err != nil {
		return Result{}, err
	}
	c.tell(Planned{Name: r.Name, New: p.isNew, Changes: p.changes})
	if r.DryRun {
		return Result{Changed: true}, c.discard(ctx, p)
	}
	return c.carryOut(ctx, p)
}

// kept are the parameters of the template that stay as they are unless a request says otherwise. Somebody may have set them
// in the console.
var kept = []string{"MemorySize", "LogRetention", "StageName", "ThrottleRate", "ThrottleBurst", "DeliveryRate", "Coalesce", "Concurrency", "AlarmTopic"}

// parameters returns what the template's parameters become, by their names. What a stack is to keep is nil: its values
// may be secrets, which CloudFormation does not tell.
func (r Request) parameters(old *Stack, bucket, key string) map[string]*string {
	set := map[string]*string{paramApp: &Apps[0]}
	if old != nil {
		for _, name := range slices.Concat(kept, AccessParameters, []string{paramApp}) {
			if _, ok := old.parameters[name]; ok {
				set[name] = nil
			}
		}
	}
	if r.App != "" {
		set[paramApp] = &r.App
	}
	for name, value := range r.Parameters {
		set[name] = &value
	}
	set[paramCodeBucket], set[paramCodeKey], set[paramArchitecture] = &bucket, &key, &r.Code.architecture
	return set
}

// usable returns the stack if it can be updated, and nil if there is none to be updated: then one can be created.
func (c *Client) usable(ctx context.Context, old *Stack) (*Stack, error) {
	if old == nil {
		return nil, nil
	}
	if err := c.checkOurs(ctx, old); err != nil {
		return nil, err
	}
	switch {
	case old.Status == reviewing: // it was planned and never created, and can be created as it is
		c.tell(Leftover{old.Name, old.Status, "it is used"})
		return nil, nil
	case old.Status == creationUndone:
		return nil, c.clear(ctx, old)
	case old.Status.Busy():
		return nil, c.busyError(old.Name, old.Status.Word())
	case old.Status == updateRollbackFailed:
		return nil, fmt.Errorf("an update of the stack %s failed, and could not be undone: %s\n"+
			"to try again to undo it: aws cloudformation continue-update-rollback --stack-name %[1]s --region %[3]s\n"+
			"or to begin anew: %[4]s", old.Name, old.Reason, c.region, c.command("remove", old.Name))
	case old.Status.Failed():
		return nil, fmt.Errorf("the stack %s is in a state that CloudFormation cannot update (%s): %s\nto begin anew: %s",
			old.Name, old.Status.Word(), old.Reason, c.command("remove", old.Name))
	}
	return old, nil
}

func (c *Client) busyError(name, how string) error {
	return fmt.Errorf("the stack %s is busy (%s): somebody deploys it, or CloudFormation has not finished yet\nto see how far it is: %s", name, how, c.command("info", name))
}

// command is a line to paste that does something with a stack of this Region.
func (c *Client) command(verb, name string) string {
	return fmt.Sprintf("crier %s --name %s --region %s", verb, name, c.region)
}

// ourPlans tells whether all plans for a stack are crier's.
func (c *Client) ourPlans(ctx context.Context, name string) (bool, error) {
	names, err := c.plans(ctx, name)
	foreign := slices.ContainsFunc(names, func(name string) bool { return !strings.HasPrefix(name, planPrefix) })
	return !foreign, err
}

// clear removes what a failed creation left: a name without resources, that CloudFormation does not use again.
func (c *Client) clear(ctx context.Context, old *Stack) error {
	c.tell(Leftover{old.Name, old.Status, "it is removed"})
	_, err := c.remove(ctx, old)
	return err
}

func (c *Client) carryOut(ctx context.Context, p *plan) (Result, error) {
	w, err := c.newWatcher(ctx, p.stackID)
	if err == nil {
		err = c.execute(ctx, p)
	}
	if err != nil {
		return Result{}, errors.Join(err, c.discard(ctx, p))
	}
	stack, err := w.watch(ctx)
	if err == nil && stack == nil {
		w, stack, err = c.successor(ctx, p, w)
	}
	if err != nil {
		return Result{}, c.interrupted(err, p.stack)
	}
	switch {
	case stack != nil && stack.id != p.stackID && stack.CodeKey != p.codeKey:
		return Result{}, fmt.Errorf("somebody else has deployed the stack %s meanwhile: try again", p.stack)
	case stack == nil:
		return Result{}, fmt.Errorf("the stack %s was removed by somebody else meanwhile", p.stack)
	case stack.Status == created || stack.Status == updated:
		return Result{Stack: *stack, Changed: true}, nil
	}
	return Result{}, fmt.Errorf("%s\n%s", w.why(stack), c.outcome(stack))
}

// successor watches the stack that has the name of one that is gone, if there is one: two people may have planned it at the
// same time.
func (c *Client) successor(ctx context.Context, p *plan, w *watcher) (*watcher, *Stack, error) {
	stack, err := c.find(ctx, p.stack)
	if err != nil || stack == nil {
		return w, nil, err
	}
	if w, err = c.newWatcher(ctx, stack.id); err != nil {
		return nil, nil, err
	}
	stack, err = w.watch(ctx)
	return w, stack, err
}

// outcome says what a stack has come to that did not come to what was wanted.
func (c *Client) outcome(stack *Stack) string {
	switch stack.Status {
	case creationUndone:
		return fmt.Sprintf("the stack %s could not be created; what was made of it is removed again", stack.Name)
	case updateUndone:
		return fmt.Sprintf("the stack %s could not be updated; it is as it was before", stack.Name)
	default:
		return fmt.Sprintf("the stack %s is not as it should be (%s); to begin anew: %s", stack.Name, stack.Status.Word(), c.command("remove", stack.Name))
	}
}

// Remove takes a stack away, with everything that was made for it: also its code, and the bucket if no other stack's code
// is in it. What was there already when it failed half-way the last time is no reason to fail.
func (c *Client) Remove(ctx context.Context, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	account, err := c.identify(ctx)
	if err != nil {
		return err
	}
	stack, err := c.find(ctx, name)
	if err != nil {
		return err
	}
	if stack != nil {
		if err := c.checkOurs(ctx, stack); err != nil {
			return err
		}
		if _, err := c.remove(ctx, stack); err != nil {
			return err
		}
	}
	emptied, err := c.bucket(account).empty(ctx, name)
	if err != nil {
		return err
	}
	if stack == nil && emptied.Objects == 0 {
		return c.noStack(name)
	}
	c.tell(emptied)
	return nil
}

// remove has CloudFormation delete a stack, and watches.
func (c *Client) remove(ctx context.Context, stack *Stack) (*Stack, error) {
	w, err := c.newWatcher(ctx, stack.id)
	if err != nil {
		return nil, err
	}
	if _, err := c.stacks.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: &stack.Name}); err != nil {
		return nil, c.explain(ctx, "removing the stack", err)
	}
	left, err := w.watch(ctx)
	if err != nil {
		return nil, c.interrupted(err, stack.Name)
	}
	if left != nil && left.Status != removed {
		return left, fmt.Errorf("%s\nthe stack %s could not be removed; to try again: %s", w.why(left), stack.Name, c.command("remove", stack.Name))
	}
	return nil, nil
}
