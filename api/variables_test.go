package api

import (
	"strings"
	"testing"
)

// TestVariables: what functions find in their environment.
func TestVariables(t *testing.T) {
	t.Setenv("AWS_REGION", "eu-north-1")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "the user's own")
	t.Setenv("AWS_PROFILE", "work")
	t.Setenv("AWS_ENDPOINT_URL_S3", "http://localhost:9000")
	t.Setenv("CRIER_ADMIN_KEY", "secret")
	t.Setenv("PLAIN", "kept")
	f, err := Parse("crier.yaml", []byte("environment: {ALL: a, OVER: all}\nroutes: {}\nintegrations: {m: {lambda: {handler: x.y, environment: {OVER: one, AWS_PROFILE: , UNSET: }}}}"))
	if err != nil {
		t.Fatal(err)
	}
	a := &API{file: f, options: Options{Variables: []string{"AWS_ACCESS_KEY_ID=dummy"}}}
	got := make(map[string]string)
	for _, v := range a.variables(f.Integrations["m"].Lambda) {
		name, value, _ := strings.Cut(v, "=")
		got[name] = value
	}
	for name, want := range map[string]string{
		"AWS_REGION": "eu-north-1", "AWS_DEFAULT_REGION": "eu-north-1", "AWS_ACCESS_KEY_ID": "dummy", "AWS_SECRET_ACCESS_KEY": "",
		"AWS_PROFILE": "work", "AWS_ENDPOINT_URL_S3": "http://localhost:9000", "CRIER_ADMIN_KEY": "", "PLAIN": "kept", "ALL": "a", "OVER": "one", "UNSET": "", "TZ": ":UTC",
		"AWS_SESSION_TOKEN": "local",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if _, there := got["UNSET"]; there {
		t.Error("UNSET is there")
	}
}
