package api

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// TestAliases: an API has a name for each region in which its functions believe
// to be.
func TestAliases(t *testing.T) {
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	name := func(regions ...string) (list []string) {
		for _, region := range regions {
			list = append(list, "criercrier.execute-api."+region+".amazonaws.com")
		}
		return list
	}
	for _, test := range []struct {
		file, region string
		want         []string
	}{
		{"integrations: {m: {mock: }}", "", name("us-east-1")},
		{"integrations: {m: {mock: }}", "eu-north-1", name("eu-north-1")},
		{"integrations: {f: {lambda: x.y}, g: {lambda: x.z}}", "", name("us-east-1")},
		{"environment: {AWS_REGION: eu-west-1}\nintegrations: {f: {lambda: x.y}}", "us-west-2", name("eu-west-1")},
		{"environment: {AWS_REGION: }\nintegrations: {f: {lambda: x.y}}", "us-west-2", name("us-west-2")},
		{"environment: {AWS_REGION: eu-west-1}\nintegrations: {f: {lambda: x.y}, g: {lambda: {handler: x.y, environment: {AWS_REGION: sa-east-1}}}}", "", name("eu-west-1", "sa-east-1")},
		{"integrations: {g: {lambda: {handler: x.y, environment: {AWS_DEFAULT_REGION: sa-east-1}}}}", "", name("sa-east-1", "us-east-1")},
		{"integrations: {g: {lambda: {handler: x.y, environment: {AWS_REGION: 'no region'}}}}", "", name("us-east-1")},
	} {
		t.Setenv("AWS_REGION", test.region)
		f, err := Parse("crier.yaml", []byte("routes: {}\n"+test.file))
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Aliases(); !slices.Equal(got, test.want) {
			t.Errorf("%s in %q: got %q, want %q", test.file, test.region, got, test.want)
		}
	}
}

// TestWhereToPost: what tells a function where its connections are.
func TestWhereToPost(t *testing.T) {
	const variable = "AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI="
	f, err := Parse("crier.yaml", []byte("stage: prod\nroutes: {}\nintegrations: {f: {lambda: {handler: x.y, environment: {AWS_REGION: sa-east-1}}}}"))
	if err != nil {
		t.Fatal(err)
	}
	c := f.Integrations["f"].Lambda
	a := &API{file: f, options: Options{Door: "127.0.0.1:45678", Files: "/files", Log: slog.New(slog.DiscardHandler)}}
	got := a.variables(c)
	for _, want := range []string{variable + "http://127.0.0.1:45678/prod", "AWS_REGION=sa-east-1", "AWS_DEFAULT_REGION=sa-east-1"} {
		if !slices.Contains(got, want) {
			t.Errorf("no %s in %q", want, got)
		}
	}
	if got := a.alias(c); got.Name != "criercrier.execute-api.sa-east-1.amazonaws.com" || got.To != "127.0.0.1:45678" || got.Files != "/files" {
		t.Errorf("got %+v", got)
	}
	t.Setenv(strings.TrimSuffix(variable, "="), "https://example.com")
	if got := a.variables(c); slices.Contains(got, variable+"http://127.0.0.1:45678/prod") || !slices.Contains(got, variable+"https://example.com") {
		t.Errorf("the user's own is lost: %q", got)
	}
	a.options = Options{}
	if got := a.alias(c); got.Name != "" {
		t.Errorf("without files: %+v", got)
	}
}

// TestProxyForExecutables: it is there if there are executables.
func TestProxyForExecutables(t *testing.T) {
	for file, want := range map[string]bool{
		"integrations: {m: {mock: }, f: {lambda: x.y}}":               false,
		"integrations: {m: {mock: }, f: {lambda: {bootstrap: x}}}":    true,
		"integrations: {f: {lambda: {handler: h.h, bootstrap: x/y}}}": true,
	} {
		f, err := Parse("crier.yaml", []byte("routes: {}\n"+file))
		if err != nil {
			t.Fatal(err)
		}
		a := &API{file: f, options: Options{Files: t.TempDir(), Log: slog.New(slog.DiscardHandler)}}
		p, err := a.openProxy()
		if err != nil || (p != nil) != want {
			t.Errorf("%s: got %v, %v", file, p, err)
		}
		if p != nil {
			p.Close()
		}
	}
}

// TestDynamoDBOfExecutables: the proxy knows where they are told that DynamoDB is; crier.yaml has the last word.
func TestDynamoDBOfExecutables(t *testing.T) {
	f, err := Parse("crier.yaml", []byte(`
routes: {}
environment: {AWS_ENDPOINT_URL_DYNAMODB: 'http://localhost:8001'}
integrations: {f: {lambda: {bootstrap: x}}}`))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer // has the warning when the proxy has answered
	a := &API{file: f, options: Options{
		Files:     t.TempDir(),
		Variables: []string{"AWS_ENDPOINT_URL_DYNAMODB=http://localhost:8000"},
		Log:       slog.New(slog.NewTextHandler(&log, nil)),
	}}
	p, err := a.openProxy()
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(p.URL())
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(u)}}
	if _, err := client.Get("https://dynamodb.us-east-1.amazonaws.com"); err == nil {
		t.Error("AWS answers")
	}
	p.Close()
	if want := "leads, http://localhost:8001"; !strings.Contains(log.String(), want) {
		t.Errorf("the log has %q, want %q", &log, want)
	}
}
