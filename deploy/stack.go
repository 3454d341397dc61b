package deploy

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
)

// A Stack is what CloudFormation knows of one that is there. What is not known yet is empty.
type Stack struct {
	Name   string
	Region string
	Status Status
	Reason string // of the status, in CloudFormation's words
	Since  time.Time

	App      string
	URL      string // where clients connect
	Function string
	Table    string
	LogGroup string
	Failed   string // the address of the queue of what could not be finished
	CodeKey  string
	Origins  string // of pages that may connect, with commas between them, besides those of visitors' own machines

	id         string
	parameters map[string]string
}

// Info returns what CloudFormation knows of a stack.
func (c *Client) Info(ctx context.Context, name string) (Stack, error) {
	if err := CheckName(name); err != nil {
		return Stack{}, err
	}
	if _, err := c.credentials.Retrieve(ctx); err != nil {
		return Stack{}, noCredentials(ctx, err)
	}
	stack, err := c.find(ctx, name)
	if err == nil && stack == nil {
		err = c.noStack(name)
	}
	if err == nil {
		err = c.checkOurs(ctx, stack)
	}
	if err != nil {
		return Stack{}, err
	}
	return *stack, nil
}

func (c *Client) noStack(name string) error {
	return fmt.Errorf("there is no stack %s in %s; another --name, --region or --profile?", name, c.region)
}

func notOurs(name string) error {
	return fmt.Errorf("there is a stack %s, and it is not crier's: choose another --name", name)
}

// find looks a stack up by its name, or by its id, by which those that were removed can be found, too. It returns nil if there is none.
func (c *Client) find(ctx context.Context, nameOrID string) (*Stack, error) {
	out, err := c.stacks.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &nameOrID})
	if gone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, c.explain(ctx, "looking for the stack", err)
	}
	if len(out.Stacks) == 0 {
		return nil, nil
	}
	stack := newStack(out.Stacks[0])
	stack.Region = c.region
	return stack, nil
}

func newStack(s types.Stack) *Stack {
	stack := &Stack{
		Name:       aws.ToString(s.StackName),
		Status:     Status(s.StackStatus),
		Reason:     aws.ToString(s.StackStatusReason),
		Since:      aws.ToTime(s.CreationTime),
		id:         aws.ToString(s.StackId),
		parameters: map[string]string{},
	}
	if s.LastUpdatedTime != nil {
		stack.Since = *s.LastUpdatedTime
	}
	for _, p := range s.Parameters {
		stack.parameters[aws.ToString(p.ParameterKey)] = aws.ToString(p.ParameterValue)
	}
	stack.App, stack.CodeKey, stack.Origins = stack.parameters[paramApp], stack.parameters[paramCodeKey], stack.parameters[paramOrigins]
	outputs := map[string]*string{outputURL: &stack.URL, outputFunction: &stack.Function, outputTable: &stack.Table, outputLogGroup: &stack.LogGroup, outputFailed: &stack.Failed}
	for _, o := range s.Outputs {
		if field := outputs[aws.ToString(o.OutputKey)]; field != nil {
			*field = aws.ToString(o.OutputValue)
		}
	}
	return stack
}

// checkOurs refuses stacks that somebody else made or planned.
func (c *Client) checkOurs(ctx context.Context, stack *Stack) (err error) {
	ours := stack.ours()
	if stack.Status == reviewing {
		ours, err = c.ourPlans(ctx, stack.Name)
	}
	if err == nil && !ours {
		err = notOurs(stack.Name)
	}
	return err
}

// ours tells whether the stack was made from our template, by crier deploy or by somebody's pipeline: it has the
// template's parameters. One that is only planned has none yet.
func (s *Stack) ours() bool {
	return slices.Contains(Apps, s.App) && s.parameters[paramCodeBucket] != "" && s.CodeKey != ""
}
