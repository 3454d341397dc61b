package deploy

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
)

// A plan is a change set: what CloudFormation would do, until it is executed or discarded.
type plan struct {
	name    string // of the change set
	stack   string
	stackID string
	codeKey string // of the function's code
	isNew   bool   // the stack is not there yet
	changes []Change
}

// planPrefix starts the names of our change sets, by which a stack that is only planned can be told to be ours.
const planPrefix = "crier-"

// errNoChange: CloudFormation finds nothing to do.
var errNoChange = errors.New("no change")

// plan has CloudFormation work out what it would do. What it fails to plan is discarded.
func (c *Client) plan(ctx context.Context, name string, isNew bool, parameters map[string]*string) (*plan, error) {
	p := &plan{name: planPrefix + rand.Text(), stack: name, isNew: isNew, codeKey: aws.ToString(parameters[paramCodeKey])}
	kind := types.ChangeSetTypeUpdate
	if isNew {
		kind = types.ChangeSetTypeCreate
	}
	whole, cancel := context.WithTimeout(context.WithoutCancel(ctx), wholeTime)
	defer cancel()
	out, err := c.stacks.CreateChangeSet(whole, &cloudformation.CreateChangeSetInput{
		StackName:     &name,
		ChangeSetName: &p.name,
		ChangeSetType: kind,
		TemplateBody:  aws.String(template),
		Parameters:    parameterList(parameters),
		Capabilities:  []types.Capability{types.CapabilityCapabilityIam}, // the function's role
	})
	if err != nil {
		return nil, c.notPlanned(whole, name, err)
	}
	p.stackID = aws.ToString(out.StackId)
	if err := c.planned(ctx, p); err != nil {
		return nil, errors.Join(err, c.discard(ctx, p))
	}
	return p, nil
}

// notPlanned says why CloudFormation takes no plan.
func (c *Client) notPlanned(ctx context.Context, name string, err error) error {
	if isCode(err, "ValidationError") && strings.Contains(err.Error(), "_IN_PROGRESS state") {
		return c.busyError(name, "since a moment ago")
	}
	return c.explain(ctx, "planning", err)
}

func parameterList(parameters map[string]*string) (list []types.Parameter) {
	for name, value := range parameters {
		p := types.Parameter{ParameterKey: &name, ParameterValue: value}
		if value == nil {
			p.UsePreviousValue = aws.Bool(true)
		}
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b types.Parameter) int { return strings.Compare(*a.ParameterKey, *b.ParameterKey) })
	return list
}

// planned waits until the plan is made.
func (c *Client) planned(ctx context.Context, p *plan) error {
	for {
		out, err := c.stacks.DescribeChangeSet(ctx, &cloudformation.DescribeChangeSetInput{StackName: &p.stack, ChangeSetName: &p.name})
		if err != nil {
			return c.explain(ctx, "planning", err)
		}
		switch out.Status {
		case types.ChangeSetStatusCreateComplete:
			return c.readChanges(ctx, p, out)
		case types.ChangeSetStatusFailed:
			return c.whyNotPlanned(ctx, p, aws.ToString(out.StatusReason))
		}
		if !c.pause(ctx) {
			return ErrInterrupted
		}
	}
}

func (c *Client) readChanges(ctx context.Context, p *plan, page *cloudformation.DescribeChangeSetOutput) (err error) {
	for {
		for _, change := range page.Changes {
			if r := change.ResourceChange; r != nil {
				p.changes = append(p.changes, Change{
					Action:      string(r.Action),
					Resource:    aws.ToString(r.LogicalResourceId),
					Type:        aws.ToString(r.ResourceType),
					Replacement: r.Replacement == types.ReplacementTrue || r.Replacement == types.ReplacementConditional,
				})
			}
		}
		if page.NextToken == nil {
			return nil
		}
		page, err = c.stacks.DescribeChangeSet(ctx, &cloudformation.DescribeChangeSetInput{
			StackName: &p.stack, ChangeSetName: &p.name, NextToken: page.NextToken,
		})
		if err != nil {
			return c.explain(ctx, "planning", err)
		}
	}
}

// noChange are the ways in which CloudFormation says that there is nothing to do; a change set cannot be empty and complete.
var noChange = []string{"The submitted information didn't contain changes", "No updates are to be performed"}

func (c *Client) whyNotPlanned(ctx context.Context, p *plan, reason string) error {
	for _, text := range noChange {
		if strings.Contains(reason, text) {
			return errNoChange
		}
	}
	if strings.Contains(reason, "EarlyValidation") {
		reason = c.validation(ctx, p, reason)
	}
	return fmt.Errorf("planning: %s", reason)
}

// validation returns what CloudFormation has against a plan. The change set itself only says where to look:
// "To troubleshoot Early Validation errors, use the DescribeEvents API for detailed failure information."
// The usual finding is that something of the name is there already and belongs to no stack.
func (c *Client) validation(ctx context.Context, p *plan, reason string) string {
	out, err := c.stacks.DescribeEvents(ctx, &cloudformation.DescribeEventsInput{
		StackName: &p.stack, ChangeSetName: &p.name, Filters: &types.EventFilter{FailedEvents: aws.Bool(true)},
	})
	if err != nil {
		return reason
	}
	var found []string
	for _, e := range out.OperationEvents {
		if why := aws.ToString(e.ValidationStatusReason); why != "" {
			found = append(found, fmt.Sprintf("%s: %s", aws.ToString(e.LogicalResourceId), why))
		}
	}
	if len(found) == 0 {
		return reason
	}
	return strings.Join(found, "; ")
}

// discard removes a plan, and the stack with it if that was never more than a plan. It does so even if ctx has ended.
func (c *Client) discard(ctx context.Context, p *plan) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTime)
	defer cancel()
	_, err := c.stacks.DeleteChangeSet(ctx, &cloudformation.DeleteChangeSetInput{StackName: &p.stack, ChangeSetName: &p.name})
	if err != nil && !gone(err) {
		return c.explain(ctx, "discarding the plan", err)
	}
	if !p.isNew {
		return nil
	}
	// The plans first: another one that is executed meanwhile is none any more, and the stack is not under review then.
	others, err := c.plans(ctx, p.stack)
	if gone(err) || slices.ContainsFunc(others, func(name string) bool { return name != p.name }) {
		return nil
	}
	if err != nil {
		return err
	}
	stack, err := c.find(ctx, p.stack)
	if err != nil || stack == nil || stack.Status != reviewing {
		return err
	}
	if _, err := c.stacks.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: &p.stack}); err != nil && !gone(err) {
		return c.explain(ctx, "discarding the plan", err)
	}
	for stack != nil && c.pause(ctx) {
		if stack, err = c.find(ctx, p.stack); err != nil {
			return err
		}
	}
	return nil
}

// gone tells whether AWS says that what was to be removed is not there.
func gone(err error) bool {
	return isCode(err, "ChangeSetNotFound", "ChangeSetNotFoundException") || err != nil && strings.Contains(err.Error(), "does not exist")
}

// plans lists the names of a stack's change sets.
func (c *Client) plans(ctx context.Context, name string) (names []string, err error) {
	pages := cloudformation.NewListChangeSetsPaginator(c.stacks, &cloudformation.ListChangeSetsInput{StackName: &name})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, c.explain(ctx, "looking for plans", err)
		}
		for _, s := range page.Summaries {
			names = append(names, aws.ToString(s.ChangeSetName))
		}
	}
	return names, nil
}

// execute has CloudFormation begin.
func (c *Client) execute(ctx context.Context, p *plan) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), wholeTime)
	defer cancel()
	_, err := c.stacks.ExecuteChangeSet(ctx, &cloudformation.ExecuteChangeSetInput{StackName: &p.stack, ChangeSetName: &p.name})
	if isCode(err, "InvalidChangeSetStatus", "InvalidChangeSetStatusException", "ChangeSetNotFound", "ChangeSetNotFoundException") {
		return fmt.Errorf("somebody else has changed the stack %s meanwhile: try again", p.stack)
	}
	if err != nil {
		return c.explain(ctx, "starting", err)
	}
	return nil
}
