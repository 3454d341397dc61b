package deploy

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"crier/internal/fakeaws"
)

// Whoever presses ctrl-C while CloudFormation works has not stopped CloudFormation.
func TestInterruptedWhileWatching(t *testing.T) {
	h := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	looks := 0
	h.aws.Look = func(action string) {
		if action == "cloudformation:DescribeStackEvents" {
			if looks++; looks == 6 { // each look at the events of a short history takes one or two
				cancel()
			}
		}
	}
	_, err := h.Deploy(ctx, Request{Name: "game", Code: codeOf(t, "one")})
	wantError(t, err, "interrupted: CloudFormation goes on without us", "crier info --name game --region "+fakeaws.Region)
	if !errors.Is(err, ErrInterrupted) {
		t.Error("it is not ErrInterrupted")
	}
	h.wantNever(t, "the stack is to go on", "cloudformation:DeleteStack", "cloudformation:DeleteChangeSet")
	if got := h.aws.Stack("game").Status; got != "CREATE_IN_PROGRESS" {
		t.Errorf("the stack is %s", got)
	}
}

// A network that fails is no reason for CloudFormation to stop, either.
func TestLostWhileWatching(t *testing.T) {
	h := start(t)
	h.aws.Look = func(action string) {
		if action == "cloudformation:ExecuteChangeSet" {
			h.aws.Deny("cloudformation:DescribeStackEvents")
		}
	}
	_, err := h.Deploy(t.Context(), Request{Name: "game", Code: codeOf(t, "one")})
	wantError(t, err, "cloudformation:DescribeStackEvents", "CloudFormation goes on without us", "crier info --name game")
}

// Before CloudFormation has begun, nothing is left.
func TestInterruptedWhilePlanning(t *testing.T) {
	for _, during := range []string{"cloudformation:CreateChangeSet", "cloudformation:DescribeChangeSet"} {
		h := start(t)
		ctx, cancel := context.WithCancel(t.Context())
		h.aws.Look = func(action string) {
			if action == during {
				cancel()
			}
		}
		_, err := h.Deploy(ctx, Request{Name: "game", Code: codeOf(t, "one")})
		wantError(t, err, "interrupted")
		h.wantNever(t, "it was interrupted before", "cloudformation:ExecuteChangeSet")
		if s := h.aws.Stack("game"); s.Status != "" {
			t.Errorf("interrupted in %s: a stack that is %s is left", during, s.Status)
		}
	}
}

// TestNobodyListens: an endpoint that refuses connections is told of at once.
func TestNobodyListens(t *testing.T) {
	t.Setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
	t.Setenv("AWS_ACCESS_KEY_ID", "x")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "x")
	c, err := Open(t.Context(), Where{Region: "eu-central-1"}, func(Event) {})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	_, err = c.Info(t.Context(), "game")
	wantError(t, err, "connection refused")
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

// Somebody else may begin between our look and our plan, and between our plan and its execution.
func TestSomebodyElseIsFaster(t *testing.T) {
	for action, fault := range map[string]fakeaws.Fault{
		"cloudformation:CreateChangeSet": {Status: http.StatusBadRequest, Code: "ValidationError",
			Message: "Stack:arn:aws:cloudformation:x is in UPDATE_IN_PROGRESS state and can not be updated."},
		"cloudformation:ExecuteChangeSet": {Status: http.StatusBadRequest, Code: "InvalidChangeSetStatus",
			Message: "ChangeSet [x] cannot be executed in its current status of [OBSOLETE]"},
	} {
		h := start(t)
		h.aws.Fail(action, fault)
		_, err := h.Deploy(t.Context(), Request{Name: "game", Code: codeOf(t, "one")})
		wantError(t, err, map[string]string{"cloudformation:CreateChangeSet": "busy (since a moment ago)", "cloudformation:ExecuteChangeSet": "meanwhile: try again"}[action])
	}
}
