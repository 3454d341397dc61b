package deploy

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
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

func TestCreate(t *testing.T) {
	h := start(t)
	code := codeOf(t, "one")
	result := h.deploy(t, Request{Name: "chat-1", App: "chat", Code: code})

	if want := "wss://abc123.execute-api.eu-central-1.amazonaws.com/live"; result.Stack.URL != want || !result.Changed {
		t.Errorf("result %+v, want a change and the address %s", result, want)
	}
	key := code.key("chat-1")
	if got := h.aws.Objects(bucketName); !slices.Equal(got, []string{key}) {
		t.Errorf("the bucket has %q, want %q", got, key)
	}
	got := h.aws.Stack("chat-1").Parameters
	want := map[string]string{"App": "chat", "CodeBucket": bucketName, "CodeKey": key, "Architecture": "arm64"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("parameters %v, want %v: the rest has defaults", got, want)
	}
	if who := told[Identified](h); len(who) != 1 || who[0] != (Identified{fakeaws.Account, "arn:aws:iam::123456789012:user/ann", fakeaws.Region}) {
		t.Errorf("identified %v", who)
	}
	if up := told[Uploaded](h); len(up) != 1 || !up[0].NewBucket || up[0].Already {
		t.Errorf("uploaded %+v, want a new bucket", up)
	}
	planned := told[Planned](h)
	if len(planned) != 1 || !planned[0].New || len(planned[0].Changes) != len(h.aws.Resources) || planned[0].Changes[2] != (Change{"Add", "Function", "AWS::Fake::Function", false}) {
		t.Errorf("planned %+v, want all of %v added", planned, h.aws.Resources)
	}
	wantProgress(t, h, "chat-1 CREATE_IN_PROGRESS", "Table CREATE_IN_PROGRESS", "Table CREATE_COMPLETE", "Role CREATE_IN_PROGRESS", "Role CREATE_COMPLETE",
		"Function CREATE_IN_PROGRESS", "Function CREATE_COMPLETE", "Api CREATE_IN_PROGRESS", "Api CREATE_COMPLETE",
		"Stage CREATE_IN_PROGRESS", "Stage CREATE_COMPLETE", "chat-1 CREATE_COMPLETE")
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

func TestNoChange(t *testing.T) {
	h := start(t)
	r := Request{Name: "game", Code: codeOf(t, "one")}
	h.deploy(t, r)
	h.events = nil
	result := h.deploy(t, r)
	if result.Changed || result.Stack.URL == "" || result.Stack.App != "broadcast" {
		t.Errorf("result %+v, want no change and what is there", result)
	}
	if up := told[Uploaded](h); len(up) != 1 || !up[0].Already {
		t.Errorf("uploaded %+v, want it to be there already", up)
	}
	if n := h.aws.Count("s3:PutObject"); n != 1 {
		t.Errorf("the code was sent %d times, want once", n)
	}
	if n := h.aws.Count("cloudformation:ExecuteChangeSet"); n != 1 {
		t.Errorf("%d change sets were executed, want the first only", n)
	}
	if plans := h.aws.Stack("game").Plans; len(plans) != 0 {
		t.Errorf("the change sets %q are left", plans)
	}
}

func TestUpdate(t *testing.T) {
	h := start(t)
	h.deploy(t, Request{Name: "game", App: "rooms", Code: codeOf(t, "one")})
	h.aws.Stack("game").Parameters["MemorySize"] = "1024" // as somebody does in the console
	h.events = nil
	h.aws.Lag = 2
	result := h.deploy(t, Request{Name: "game", Code: codeOf(t, "two")})
	if !result.Changed || result.Stack.Status != updated {
		t.Errorf("result %+v, want an update", result)
	}
	got := h.aws.Stack("game").Parameters
	if got["App"] != "rooms" || got["MemorySize"] != "1024" || got["CodeKey"] != codeOf(t, "two").key("game") {
		t.Errorf("parameters %v: want the app and the memory kept, and the new code", got)
	}
	wantProgress(t, h, "game UPDATE_IN_PROGRESS", "Function UPDATE_IN_PROGRESS", "Function UPDATE_COMPLETE", "game UPDATE_COMPLETE")
	if p := told[Planned](h); len(p) != 1 || p[0].New || len(p[0].Changes) != 1 {
		t.Errorf("planned %+v, want one change", p)
	}
}

func TestRollback(t *testing.T) {
	h := start(t)
	h.aws.Broken, h.aws.Why = "Role", "User: arn:aws:iam::1:user/ann is not authorized to perform: iam:CreateRole on resource: game-Role-1"
	_, err := h.Deploy(t.Context(), Request{Name: "game", Code: codeOf(t, "one")})
	text := wantError(t, err, "Role (AWS::Fake::Role): User: ", "you are not permitted to do iam:CreateRole", "--print-policy",
		"the stack game could not be created; what was made of it is removed again")
	if !strings.HasPrefix(text, "Role ") {
		t.Errorf("the first failure is not on top: %s", text)
	}
	if strings.Contains(text, "cancelled") {
		t.Errorf("what was cancelled is not why: %s", text)
	}
}

func TestUpdateRolledBack(t *testing.T) {
	h := start(t)
	h.deploy(t, Request{Name: "game", Code: codeOf(t, "one")})
	h.aws.Broken, h.aws.Why = "Function", "no such runtime"
	_, err := h.Deploy(t.Context(), Request{Name: "game", Code: codeOf(t, "two")})
	wantError(t, err, "Function (AWS::Fake::Function): no such runtime\n", "could not be updated; it is as it was before")
	if h.aws.Object(bucketName, codeOf(t, "one").key("game")) == nil {
		t.Error("the former code is gone, to which CloudFormation goes back")
	}
}

func TestRollbackFails(t *testing.T) {
	h := start(t)
	h.deploy(t, Request{Name: "game", Code: codeOf(t, "one")})
	h.aws.Broken, h.aws.Why, h.aws.Stuck = "Function", "no such runtime", true
	_, err := h.Deploy(t.Context(), Request{Name: "game", Code: codeOf(t, "two")})
	wantError(t, err, "no such runtime", "update could not be undone", "crier remove --name game")
	_, err = h.Deploy(t.Context(), Request{Name: "game", Code: codeOf(t, "three")})
	wantError(t, err, "could not be undone", "continue-update-rollback --stack-name game --region "+fakeaws.Region, "crier remove --name game")
}

// ROLLBACK_COMPLETE is what a creation leaves that failed: a name that CloudFormation does not use again.
func TestLeftoverOfAFailedCreation(t *testing.T) {
	h := start(t)
	h.aws.Broken, h.aws.Why = "Function", "no"
	h.Deploy(t.Context(), Request{Name: "game", Code: codeOf(t, "one")})
	h.aws.Broken, h.events = "", nil
	dry, err := h.Deploy(t.Context(), Request{Name: "game", Code: codeOf(t, "one"), DryRun: true})
	if err != nil || !dry.Changed || h.aws.Stack("game").Status != "ROLLBACK_COMPLETE" {
		t.Errorf("dry run: %+v, %v, and the stack is %s: want it left alone", dry, err, h.aws.Stack("game").Status)
	}
	result := h.deploy(t, Request{Name: "game", Code: codeOf(t, "one")})
	if result.Stack.Status != created {
		t.Errorf("result %+v, want the stack to be created", result)
	}
	if left := told[Leftover](h); len(left) != 2 || left[1].Do != "it is removed" {
		t.Errorf("told of left-overs %+v", left)
	}
}

// REVIEW_IN_PROGRESS is what is left when somebody planned and did no more.
func TestLeftoverOfAPlan(t *testing.T) {
	h := start(t)
	h.aws.AddStack(fakeaws.Stack{Name: "game", Status: "REVIEW_IN_PROGRESS", Plans: []string{"crier-OLD"}})
	result := h.deploy(t, Request{Name: "game", Code: codeOf(t, "one")})
	if result.Stack.Status != created {
		t.Errorf("result %+v, want the stack to be created", result)
	}
	if left := told[Leftover](h); len(left) != 1 || left[0].Do != "it is used" {
		t.Errorf("told of left-overs %+v", left)
	}
}

func TestSomebodyElsesStack(t *testing.T) {
	for name, stack := range map[string]fakeaws.Stack{
		"made":    {Name: "game", Status: "CREATE_COMPLETE", Parameters: map[string]string{"Size": "1"}},
		"failed":  {Name: "game", Status: "ROLLBACK_COMPLETE"},
		"planned": {Name: "game", Status: "REVIEW_IN_PROGRESS", Plans: []string{"crier-1", "terraform"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := start(t)
			h.aws.AddStack(stack)
			_, err := h.Deploy(t.Context(), Request{Name: "game", Code: codeOf(t, "one")})
			wantError(t, err, "there is a stack game, and it is not crier's")
			wantError(t, h.Remove(t.Context(), "game"), "not crier's")
			h.wantNever(t, "it is not ours", "cloudformation:DeleteStack", "cloudformation:CreateChangeSet", "s3:PutObject")
		})
	}
}

func TestBusy(t *testing.T) {
	ours := map[string]string{"App": "chat", "CodeBucket": "b", "CodeKey": "k"}
	for status, want := range map[string][]string{
		"UPDATE_IN_PROGRESS": {"busy (updating)", "crier info --name game"},
		"DELETE_FAILED":      {"(could not be removed)", "crier remove --name game"},
		"ROLLBACK_FAILED":    {"(creation could not be undone)", "crier remove --name game"},
	} {
		h := start(t)
		h.aws.AddStack(fakeaws.Stack{Name: "game", Status: status, Parameters: ours})
		_, err := h.Deploy(t.Context(), Request{Name: "game", Code: codeOf(t, "one")})
		wantError(t, err, want...)
		h.wantNever(t, "the stack is "+status, "cloudformation:CreateChangeSet")
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

func TestInvalidPlan(t *testing.T) {
	h := start(t)
	h.aws.Broken, h.aws.Why, h.aws.Invalid = "Logs", "Resource of type 'AWS::Logs::LogGroup' with identifier '/aws/lambda/game' already exists.", true
	_, err := h.Deploy(t.Context(), Request{Name: "game", Code: codeOf(t, "one")})
	wantError(t, err, "planning: Logs: Resource of type", "already exists")
	if s := h.aws.Stack("game"); s.Status != "" {
		t.Errorf("a stack that is %s is left", s.Status)
	}
}

func TestDryRun(t *testing.T) {
	h := start(t)
	result := h.deploy(t, Request{Name: "game", Code: codeOf(t, "one"), DryRun: true})
	if !result.Changed {
		t.Error("a new stack would be a change")
	}
	if s := h.aws.Stack("game"); s.Status != "" {
		t.Errorf("a stack that is %s is left", s.Status)
	}
	if h.aws.Objects(bucketName) != nil {
		t.Error("a bucket is left")
	}
	h.wantNever(t, "it is a dry run", "cloudformation:ExecuteChangeSet", "s3:CreateBucket", "s3:PutObject")

	h.deploy(t, Request{Name: "game", Code: codeOf(t, "one")})
	h.deploy(t, Request{Name: "game", Code: codeOf(t, "two"), DryRun: true})
	if s := h.aws.Stack("game"); s.Status != "CREATE_COMPLETE" || len(s.Plans) != 0 {
		t.Errorf("after a dry run the stack is %s and has plans %q", s.Status, s.Plans)
	}
	same := h.deploy(t, Request{Name: "game", Code: codeOf(t, "one"), DryRun: true})
	if same.Changed {
		t.Error("a dry run of what is there finds a change")
	}
}

func TestRemove(t *testing.T) {
	h := start(t)
	h.deploy(t, Request{Name: "game", Code: codeOf(t, "one")})
	h.deploy(t, Request{Name: "game", Code: codeOf(t, "two")})
	h.deploy(t, Request{Name: "other", Code: codeOf(t, "one")})
	h.events = nil
	if err := h.Remove(t.Context(), "game"); err != nil {
		t.Fatal(err)
	}
	if got, want := h.aws.Objects(bucketName), []string{codeOf(t, "one").key("other")}; !slices.Equal(got, want) {
		t.Errorf("the bucket has %q, want the other stack's %q", got, want)
	}
	if e := told[Emptied](h); len(e) != 1 || e[0] != (Emptied{bucketName, 2, false}) {
		t.Errorf("emptied %+v", e)
	}
	if p := told[Progress](h); len(p) == 0 || p[len(p)-1].Status != removed {
		t.Errorf("the last progress is %+v", p)
	}
	if err := h.Remove(t.Context(), "other"); err != nil {
		t.Fatal(err)
	}
	if h.aws.Objects(bucketName) != nil {
		t.Error("the empty bucket is left")
	}
	wantError(t, h.Remove(t.Context(), "game"), "there is no stack game in "+fakeaws.Region)
}

// What was removed half-way is removed the rest of the way.
func TestRemoveAgain(t *testing.T) {
	h := start(t)
	h.deploy(t, Request{Name: "game", Code: codeOf(t, "one")})
	h.aws.Fail("s3:DeleteObject", fakeaws.Fault{Status: http.StatusForbidden, Code: "AccessDenied", Message: "Access Denied"})
	wantError(t, h.Remove(t.Context(), "game"), "removing the function's code", "s3:DeleteObject", "--print-policy")
	if err := h.Remove(t.Context(), "game"); err != nil {
		t.Fatal(err)
	}
	if h.aws.Objects(bucketName) != nil {
		t.Error("the bucket is left")
	}
}

func TestRemoveFails(t *testing.T) {
	h := start(t)
	h.deploy(t, Request{Name: "game", Code: codeOf(t, "one")})
	h.aws.Broken, h.aws.Why = "Table", "deletion protection is enabled"
	wantError(t, h.Remove(t.Context(), "game"), "Table (AWS::Fake::Table): deletion protection", "could not be removed", "crier remove --name game")
	if len(h.aws.Objects(bucketName)) != 1 {
		t.Error("the code of a stack that is still there was removed")
	}
	h.aws.Broken = ""
	if err := h.Remove(t.Context(), "game"); err != nil {
		t.Errorf("again: %v", err)
	}
}

func TestDenied(t *testing.T) {
	for _, action := range []string{
		"cloudformation:DescribeStacks", "cloudformation:CreateChangeSet", "cloudformation:DescribeChangeSet",
		"cloudformation:ExecuteChangeSet", "cloudformation:DescribeStackEvents", "s3:CreateBucket", "s3:PutObject",
	} {
		h := start(t)
		h.aws.Deny(action)
		_, err := h.Deploy(t.Context(), Request{Name: "game", Code: codeOf(t, "one")})
		wantError(t, err, "not permitted to do "+action, "--print-policy")
		if s := h.aws.Stack("game"); s.Status == "REVIEW_IN_PROGRESS" && action != "cloudformation:DescribeStacks" {
			t.Errorf("without %s a stack in review is left", action)
		}
	}
}

// S3 says nothing at all to HEAD: the action follows from what was asked.
func TestDeniedSilently(t *testing.T) {
	for asked, action := range map[string]string{"s3:HeadObject": "s3:GetObject", "s3:HeadBucket": "s3:ListBucket"} {
		h := start(t)
		h.aws.Fail(asked, fakeaws.Fault{Status: http.StatusForbidden, Code: "AccessDenied"})
		_, err := h.Deploy(t.Context(), Request{Name: "game", Code: codeOf(t, "one")})
		wantError(t, err, "not permitted to do "+action, "--print-policy")
	}
}

func TestBucketOfSomebodyElse(t *testing.T) {
	h := start(t)
	h.aws.Fail("s3:CreateBucket", fakeaws.Fault{Status: http.StatusConflict, Code: "BucketAlreadyExists", Message: "The requested bucket name is not available"})
	_, err := h.Deploy(t.Context(), Request{Name: "game", Code: codeOf(t, "one")})
	wantError(t, err, "another account has taken the bucket name "+bucketName)
}

func TestThrottled(t *testing.T) {
	h := start(t)
	for _, action := range []string{"cloudformation:CreateChangeSet", "cloudformation:DescribeStacks", "cloudformation:DescribeStackEvents"} {
		h.aws.Fail(action, slices.Repeat([]fakeaws.Fault{fakeaws.Throttled}, attempts-1)...)
	}
	if result := h.deploy(t, Request{Name: "game", Code: codeOf(t, "one")}); result.Stack.Status != created {
		t.Errorf("result %+v", result)
	}
	h.aws.Fail("cloudformation:DescribeStacks", slices.Repeat([]fakeaws.Fault{fakeaws.Throttled}, attempts)...)
	_, err := h.Info(t.Context(), "game")
	wantError(t, err, "asked too much", "try again in a minute")
}

func TestBadCredentials(t *testing.T) {
	for code, want := range map[string]string{
		"ExpiredToken": "have expired", "InvalidClientTokenId": "does not know these credentials", "SignatureDoesNotMatch": "clock",
	} {
		h := start(t)
		h.aws.Fail("sts:GetCallerIdentity", fakeaws.Fault{Status: http.StatusForbidden, Code: code, Message: "no"})
		_, err := h.Deploy(t.Context(), Request{Name: "game", Code: codeOf(t, "one")})
		wantError(t, err, want, "https://")
	}
}

func TestNoCredentials(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_WEB_IDENTITY_TOKEN_FILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	c, err := Open(t.Context(), Where{Region: "eu-central-1"}, func(Event) {})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Info(t.Context(), "game")
	wantError(t, err, "there are no AWS credentials\n", "https://")
	_, err = Open(t.Context(), Where{}, nil)
	wantError(t, err, "which AWS Region?", "--region")
	_, err = Open(t.Context(), Where{Region: "eu-central-1", Profile: "work"}, nil)
	wantError(t, err, `there is no profile "work"`, "aws configure list-profiles")
}

func TestUnreachable(t *testing.T) {
	h := start(t)
	nowhere := "http://127.0.0.1:1"
	h.Client = newClient(aws.Config{Region: "eu-central-1", BaseEndpoint: &nowhere, Credentials: h.credentials, RetryMaxAttempts: 1}, func(Event) {})
	_, err := h.Info(t.Context(), "game")
	wantError(t, err, "looking for the stack: no answer from AWS", "refused")
}

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

func TestCheckName(t *testing.T) {
	for name, want := range map[string]string{
		"": "too short", "ab": "too short", "abc": "", "my-game-2": "", strings.Repeat("a", 64): "", strings.Repeat("a", 65): "too long",
		"2nd": "a letter first", "my_game": "letters, digits and hyphens", "my game": "letters, digits", "spiel-für-alle": "letters, digits", "-ab": "a letter first",
	} {
		if err := CheckName(name); want == "" {
			if err != nil {
				t.Errorf("%q is refused: %v", name, err)
			}
		} else {
			wantError(t, err, want)
		}
	}
	h := start(t)
	_, err := h.Deploy(t.Context(), Request{Name: "no good", Code: codeOf(t, "one")})
	wantError(t, err, "no good")
	if calls := h.aws.Calls(); len(calls) != 0 {
		t.Errorf("a bad name was sent: %q", calls)
	}
}

func TestInfo(t *testing.T) {
	h := start(t)
	_, err := h.Info(t.Context(), "game")
	wantError(t, err, "there is no stack game in "+fakeaws.Region)
	h.deploy(t, Request{Name: "game", App: "directory", Code: codeOf(t, "one")})
	s, err := h.Info(t.Context(), "game")
	if err != nil || s.App != "directory" || s.LogGroup != "/aws/lambda/game" || s.Table != "game" || s.Function != "game" || s.Since.IsZero() {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestLogs(t *testing.T) {
	h := start(t)
	h.deploy(t, Request{Name: "game", Code: codeOf(t, "one")})
	for i := range 5 {
		h.aws.Log(int64(1000+i), fmt.Sprintf("line %d\n", i))
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reads := 0
	h.aws.Look = func(action string) {
		if action != "logs:FilterLogEvents" {
			return
		}
		switch reads++; reads {
		case 5: // the first sweep takes two pages, as do the others
			h.aws.Log(60_000, "a minute later")
		case 9:
			h.aws.Log(60_000-late.Milliseconds(), "a late one")
			h.aws.Log(60_001, "another")
		case 20:
			cancel()
		}
	}
	var got []string
	err := h.Logs(ctx, "game", time.UnixMilli(1001), true, func(l Line) error { got = append(got, l.Text); return nil })
	if err != nil {
		t.Error(err)
	}
	want := []string{"line 1", "line 2", "line 3", "line 4", "a minute later", "a late one", "another"}
	if !slices.Equal(got, want) {
		t.Errorf("read %q, want %q: each once", got, want)
	}
}

func TestLogsForget(t *testing.T) {
	lines := tail{from: 0, seen: map[string]int64{}}
	for i := range maxSeen + 10 {
		lines.seen[fmt.Sprint(i)] = int64(1_000_000 + i/100)
	}
	lines.forget(1_000_000)
	if len(lines.seen) > maxSeen+100 || lines.from < 1_000_000 {
		t.Errorf("%d ids are remembered, from %d on", len(lines.seen), lines.from)
	}
}

func TestZip(t *testing.T) {
	one, two := codeOf(t, "program"), codeOf(t, "program")
	if !bytes.Equal(one.zip, two.zip) {
		t.Error("the same program makes another zip")
	}
	r, err := zip.NewReader(bytes.NewReader(one.zip), int64(len(one.zip)))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.File) != 1 || r.File[0].Name != "bootstrap" || r.File[0].Mode() != 0o755 {
		t.Errorf("the zip has %+v, want an executable bootstrap", r.File[0].FileHeader)
	}
	if content, err := unpack(one.zip); err != nil || string(content) != "program" {
		t.Errorf("unpacked %q, %v", content, err)
	}
}

// TestPartitions: ARNs of a policy are in the part of AWS that its Region belongs to.
func TestPartitions(t *testing.T) {
	for region, want := range map[string]string{
		"": "aws", "eu-central-1": "aws", "cn-north-1": "aws-cn", "us-gov-west-1": "aws-us-gov", "eusc-de-east-1": "aws-eusc", "us-isob-east-1": "aws-iso-b",
	} {
		text, err := Policy("game", region)
		if err != nil || strings.Count(text, `"arn:`) != strings.Count(text, `"arn:`+want+`:`) {
			t.Errorf("%q: %v\n%s", region, err, text)
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
