package deploy

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"crier/internal/fakeaws"
)

const bucketName = "crier-" + fakeaws.Account + "-" + fakeaws.Region

// home is a client, the AWS it works with, and what it has told.
type home struct {
	*Client
	aws    *fakeaws.AWS
	events []Event
}

func start(t *testing.T) *home {
	h := &home{aws: fakeaws.Start(t)}
	h.Client = newClient(aws.Config{
		Region:       fakeaws.Region,
		BaseEndpoint: &h.aws.URL,
		Credentials:  credentials.NewStaticCredentialsProvider("AKID", "secret", ""),
		Retryer: func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) {
				o.MaxAttempts = attempts
				o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
				o.RateLimiter = unlimited{}
			})
		},
	}, func(e Event) { h.events = append(h.events, e) })
	h.poll = 0
	return h
}

// unlimited lets a client try again as often as it likes.
type unlimited struct{}

func (unlimited) GetToken(context.Context, uint) (func() error, error) {
	return func() error { return nil }, nil
}

func (unlimited) AddTokens(uint) error { return nil }

// codeOf is code that is told by its text.
func codeOf(t *testing.T, text string) Code {
	packed, err := pack([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return Code{zip: packed, architecture: "arm64"}
}

func (h *home) deploy(t *testing.T, r Request) Result {
	t.Helper()
	result, err := h.Deploy(t.Context(), r)
	if err != nil {
		t.Fatalf("deploying: %v", err)
	}
	return result
}

// wantError wants an error whose text has these parts in this order, and returns the text.
func wantError(t *testing.T, err error, parts ...string) string {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want one about %q", parts)
	}
	rest := err.Error()
	for _, part := range parts {
		_, after, found := strings.Cut(rest, part)
		if !found {
			t.Fatalf("the error is\n%v\nwant %q in it, in this order", err, parts)
		}
		rest = after
	}
	return err.Error()
}

// wantNever wants these actions not to have been asked for.
func (h *home) wantNever(t *testing.T, why string, actions ...string) {
	t.Helper()
	for _, action := range actions {
		if n := h.aws.Count(action); n > 0 {
			t.Errorf("%s was called %d times: %s", action, n, why)
		}
	}
}

// told returns the events of one type.
func told[E Event](h *home) (list []E) {
	for _, e := range h.events {
		if e, ok := e.(E); ok {
			list = append(list, e)
		}
	}
	return list
}

// wantProgress wants exactly these events of resources, in this order, and none twice.
func wantProgress(t *testing.T, h *home, want ...string) {
	t.Helper()
	var got []string
	for _, p := range told[Progress](h) {
		got = append(got, p.Resource+" "+string(p.Status))
	}
	if !slices.Equal(got, want) {
		t.Errorf("told of\n%q\nwant\n%q", got, want)
	}
}
