package deploy

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"crier/internal/fakeaws"
)

// TestPolicy: whatever the client asks for is in the policy.
func TestPolicyHasEveryCall(t *testing.T) {
	h := start(t)
	h.deploy(t, Request{Name: "game", Code: codeOf(t, "one"), DryRun: true})
	h.deploy(t, Request{Name: "game", Code: codeOf(t, "one")})
	h.Logs(t.Context(), "game", time.Now(), false, func(Line) error { return nil })
	h.aws.Invalid = true
	h.Deploy(t.Context(), Request{Name: "game", Code: codeOf(t, "two")})
	if err := h.Remove(t.Context(), "game"); err != nil {
		t.Fatal(err)
	}
	text, err := Policy("game", "eu-central-1")
	if err != nil {
		t.Fatal(err)
	}
	// https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html: "No permissions are required".
	otherwise := map[string]string{"s3:HeadObject": "s3:GetObject", "s3:HeadBucket": "s3:ListBucket", "s3:ListObjectsV2": "s3:ListBucket", "sts:GetCallerIdentity": "Allow"}
	for _, call := range h.aws.Calls() {
		if action, ok := otherwise[call]; ok {
			call = action
		}
		if !strings.Contains(text, `"`+call+`"`) {
			t.Errorf("the policy lacks %s", call)
		}
	}
}

func TestPolicyIsNarrow(t *testing.T) {
	text, err := Policy("game", "cn-north-1")
	if err != nil {
		t.Fatal(err)
	}
	var p policy
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		t.Fatal(err)
	}
	for _, s := range p.Statement {
		for _, action := range s.Action {
			if strings.Contains(action, "*") {
				t.Errorf("%s permits %s", s.Sid, action)
			}
		}
		for _, resource := range s.Resource {
			if !strings.HasPrefix(resource, "arn:aws-cn:") && s.Sid != "LogGroups" {
				t.Errorf("%s is about %s", s.Sid, resource)
			}
		}
	}
	if !slices.ContainsFunc(p.Statement, func(s statement) bool {
		return s.Sid == "Stack" && s.Resource[0] == "arn:aws-cn:cloudformation:cn-north-1:*:stack/game/*"
	}) {
		t.Error("the policy is not about the stack")
	}
	if len(strings.ReplaceAll(strings.ReplaceAll(text, " ", ""), "\n", "")) > 6144 {
		t.Error("the policy is longer than the 6,144 characters that IAM takes, white space not counted")
	}
	_, err = Policy("no good", "")
	wantError(t, err, "letters, digits")
	if strings.Contains(text, fakeaws.Account) {
		t.Error("the policy names an account")
	}
}
