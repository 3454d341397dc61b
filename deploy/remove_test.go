package deploy

import (
	"net/http"
	"slices"
	"testing"

	"crier/internal/fakeaws"
)

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
