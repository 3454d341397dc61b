package deploy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"crier/internal/fakeaws"
)

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

// TestAccess: who may connect stays as it is until a deployment says something about it, and then all of it is new.
func TestAccess(t *testing.T) {
	h := start(t)
	h.aws.NoEcho = []string{"KeyHashes", "TokenSecrets"}
	access := func() [3]string {
		p := h.aws.Stack("game").Parameters
		return [3]string{p["KeyHashes"], p["TokenSecrets"], p["AllowOrigins"]}
	}
	for _, step := range []struct {
		access map[string]string
		want   [3]string
	}{
		{nil, [3]string{}},
		{map[string]string{"KeyHashes": "abc", "TokenSecrets": "two\nlines", "AllowOrigins": "https://a.example.com"}, [3]string{"abc", "two\nlines", "https://a.example.com"}},
		{nil, [3]string{"abc", "two\nlines", "https://a.example.com"}},
		{map[string]string{"KeyHashes": "def", "TokenSecrets": "", "AllowOrigins": ""}, [3]string{"def", "", ""}},
	} {
		h.deploy(t, Request{Name: "game", Code: codeOf(t, "one"), Parameters: step.access})
		if got := access(); got != step.want {
			t.Errorf("after %q: got %q, want %q", step.access, got, step.want)
		}
	}
}

// TestTwoAtOnce: a stack that two people planned at the same time may have another id than the one that was planned.
func TestTwoAtOnce(t *testing.T) {
	h := start(t)
	h.aws.Renamed = true
	result := h.deploy(t, Request{Name: "game", Code: codeOf(t, "one")})
	if !result.Changed || result.Stack.Status != created {
		t.Errorf("result %+v", result)
	}
	other := start(t)
	other.aws.Renamed = true
	other.aws.Look = func(action string) {
		if action == "cloudformation:DescribeStacks" && other.aws.Count("cloudformation:ExecuteChangeSet") > 0 {
			other.aws.Stack("game").Parameters["CodeKey"] = "code/game/another.zip" // theirs was executed
		}
	}
	_, err := other.Deploy(t.Context(), Request{Name: "game", Code: codeOf(t, "one")})
	wantError(t, err, "somebody else has deployed the stack game meanwhile: try again")
}

// TestPackedLate: code that is there already is not packed.
func TestPackedLate(t *testing.T) {
	h := start(t)
	code := Code{binary: []byte("program"), architecture: "arm64"}
	h.deploy(t, Request{Name: "game", Code: code})
	if got, err := unpack(h.aws.Object(bucketName, code.key("game"))); err != nil || string(got) != "program" {
		t.Errorf("uploaded %q, %v", got, err)
	}
	h.deploy(t, Request{Name: "game", Code: code})
	if n := h.aws.Count("s3:PutObject"); n != 1 {
		t.Errorf("uploaded %d times", n)
	}
}
