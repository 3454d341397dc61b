package api

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const wholeFile = `
stage: prod
routeSelectionExpression: $request.body.type
stageVariables: {colour: blue, size: 3}
environment: {TABLE: t, HOME: }
routes:
  $connect: main
  join: {integration: web, routeResponse: true}
  '*': lambda-short
integrations:
  main:
    lambda:
      handler: src/index.handler
      directory: code
      runtime: nodejs22.x
      environment: {KEY: value}
      memory: 256
      timeout: 3
      concurrency: 2
  built: {lambda: {bootstrap: ./bin/bootstrap, timeout: 1m}}
  lambda-short: {lambda: app.handler}
  web: {http: {url: "http://localhost:5000/events", timeout: 500ms, concurrency: 1}}
  running: {invoke: "https://example.com/2015-03-31/functions/f/invocations"}
  nothing: {mock: }
  something: {mock: {statusCode: 201, body: text}}
authorizer: {integration: main, identitySource: [route.request.querystring.token, stageVariables.colour]}
tables: {rooms: {partitionKey: room}}
`

func text(s string) *string { return &s }

func TestParse(t *testing.T) {
	f, err := Parse("/dir/crier.yaml", []byte(wholeFile))
	if err != nil {
		t.Fatal(err)
	}
	selection, _ := ParseSelection("$request.body.type")
	want := &File{
		Path:        "/dir/crier.yaml",
		Stage:       "prod",
		Selection:   selection,
		Variables:   map[string]string{"colour": "blue", "size": "3"},
		Environment: map[string]*string{"TABLE": text("t"), "HOME": nil},
		Routes:      map[string]RouteConfig{"$connect": {Integration: "main"}, "join": {"web", true}, "*": {Integration: "lambda-short"}},
		Integrations: map[string]IntegrationConfig{
			"main": {Lambda: &LambdaConfig{
				Directory: "/dir/code", Handler: "src/index.handler", Runtime: "nodejs22.x", Environment: map[string]*string{"KEY": text("value")},
				Memory: 256, Timeout: 3 * time.Second, Concurrency: 2,
			}},
			"built":        {Lambda: &LambdaConfig{Directory: "/dir/bin", Bootstrap: "/dir/bin/bootstrap", Memory: 128, Timeout: time.Minute, Concurrency: 10}},
			"lambda-short": {Lambda: &LambdaConfig{Directory: "/dir", Handler: "app.handler", Memory: 128, Timeout: 30 * time.Second, Concurrency: 10}},
			"web":          {HTTP: &EndpointConfig{"http://localhost:5000/events", 500 * time.Millisecond, 1}},
			"running":      {Invoke: &EndpointConfig{"https://example.com/2015-03-31/functions/f/invocations", 30 * time.Second, 100}},
			"nothing":      {Mock: &MockConfig{StatusCode: 200}},
			"something":    {Mock: &MockConfig{201, "text"}},
		},
		Authorizer: &AuthorizerConfig{"main", []identitySource{
			{"route.request.querystring.token", "querystring", "token"}, {"stageVariables.colour", "stageVariables", "colour"},
		}},
		Tables: map[string]TableConfig{"rooms": {Key: KeyConfig{Partition: AttributeConfig{"room", "S"}}, Indexes: map[string]IndexConfig{}}},
	}
	if !reflect.DeepEqual(f, want) {
		t.Errorf("got\n%+v\nwant\n%+v", f, want)
	}
	if got := strings.Join(f.Keys(), " "); got != "$connect * join" {
		t.Errorf("keys %s", got)
	}
	if got := f.Describe("join"); got != "web: http http://localhost:5000/events, and back" {
		t.Errorf("join is %s", got)
	}
}

// TestMistakes: every mistake is told with its line and its key, all at once.
func TestMistakes(t *testing.T) {
	for file, want := range map[string]string{
		"":                                     "crier.yaml:1: want an API: routes and integrations",
		"- a\n":                                "crier.yaml:1: want an API: routes and integrations",
		"routes: [":                            "crier.yaml:2:1: did not find expected node content",
		"routes:\n\t- a":                       "crier.yaml:2:1: found character that cannot start any token",
		"stage: dev\nroutes\nintegrations: {}": "crier.yaml:2:1: could not find expected ':'",
		"\xff":                                 "crier.yaml: ",
		"routes: {}\n":                         "crier.yaml:1:1: integrations is missing",
		"routes: {}\nintegrations: {}\nx: 1":   `crier.yaml:3:1: "x" is not known here; there are authorizer, environment, integrations, routeSelectionExpression, routes, stage, stageVariables, tables`,
		"routes: 5\nintegrations: {}":          "crier.yaml:1:1: routes: want an object",
		"routes:\n  join: nobody\nintegrations:\n  a: {mock: }\n  b: {mock: }":                       `crier.yaml:2:3: routes.join: there is no integration "nobody"; there are a, b`,
		"routes: {$foo: a}\nintegrations: {a: {mock: }}":                                             "crier.yaml:1:10: routes.$foo: a route key is not empty and does not begin with $",
		"routes: {$connect: {integration: a, routeResponse: true}}\nintegrations: {a: {mock: }}":     "routes.$connect: $connect has no route response",
		"routes: {a: {routeResponse: true}}\nintegrations: {}":                                       "crier.yaml:1:10: routes.a: integration is missing",
		"routes: {a: {integration: a, routeResponse: yes}}\nintegrations: {a: {mock: }}":             `routes.a.routeResponse: want true or false, not "yes"`,
		"routes: {}\nintegrations:\n  a: {}":                                                         "crier.yaml:3:3: integrations.a: a must have exactly one of lambda, invoke, http and mock",
		"routes: {}\nintegrations:\n  a: {mock: , http: 'http://x'}":                                 "exactly one of",
		"routes: {}\nintegrations:\n  a:\n    lambda:\n      handlr: x":                              `crier.yaml:5:7: integrations.a.lambda: "handlr" is not known here; there are bootstrap, concurrency, directory`,
		"routes: {}\nintegrations:\n  a:\n    lambda:\n      handler: index\n":                       `crier.yaml:5:7: integrations.a.lambda.handler: "index" names no function: a handler is FILE.FUNCTION, such as index.handler`,
		"routes: {}\nintegrations:\n  a:\n    lambda: src/handler\n":                                 `crier.yaml:4:5: integrations.a.lambda: "src/handler" names no function: a handler is FILE.FUNCTION, such as index.handler`,
		"routes: {}\nintegrations: {a: {lambda: .handler}}":                                          `".handler" names no file: a handler is FILE.FUNCTION, such as index.handler`,
		"routes: {}\nintegrations: {a: {lambda: {handler: a.b, timeout: soon}}}":                     "integrations.a.lambda.timeout: want a time such as 10s, at most 15m0s",
		"routes: {}\nintegrations: {a: {lambda: {handler: a.b, timeout: 16m}}}":                      "want a time",
		"routes: {}\nintegrations: {a: {lambda: {handler: a.b, timeout: -1}}}":                       "want a time",
		"routes: {}\nintegrations: {a: {lambda: {handler: a.b, concurrency: 0}}}":                    "want a number from 1 to 1000",
		"routes: {}\nintegrations: {a: {http: localhost:5000}}":                                      "integrations.a.http: want a URL such as",
		"routes: {}\nintegrations: {a: {mock: {statusCode: 99}}}":                                    "want a number from 100 to 599",
		"stage: a/b\nroutes: {}\nintegrations: {}":                                                   "crier.yaml:1:1: stage: a stage's name has letters, digits, - and _ only",
		"stage: ''\nroutes: {}\nintegrations: {}":                                                    "1 to 128 characters",
		"stage: [a]\nroutes: {}\nintegrations: {}":                                                   "stage: want text",
		"routeSelectionExpression: $x\nroutes: {}\nintegrations: {}":                                 "crier.yaml:1:1: routeSelectionExpression: there is no variable $x",
		"routes: {a: a, a: b}\nintegrations: {a: {mock: }, b: {mock: }}":                             `a`,
		"authorizer: nobody\nroutes: {}\nintegrations: {}":                                           `authorizer: there is no integration "nobody"; there are none`,
		"authorizer: {integration: a, identitySource: [x]}\nroutes: {}\nintegrations: {a: {mock: }}": `crier.yaml:1:47: authorizer.identitySource[0]: "x" is no identity source`,
		"authorizer: {integration: a, identitySource: x}\nroutes: {}\nintegrations: {a: {mock: }}":   "authorizer.identitySource: want a list",
		"routes: {a: b}\nintegrations: {}\nstage: '?'":                                               "crier.yaml:1:10: routes.a: there is no integration \"b\"; there are none\ncrier.yaml:3:1: stage",
	} {
		_, err := Parse("crier.yaml", []byte(file))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\ngot  %v\nwant %s", file, err, want)
		}
	}
	if _, err := Load("nowhere.yaml"); err == nil || !strings.Contains(err.Error(), "crier gateway init writes one") {
		t.Errorf("got %v", err)
	}
}

// TestExample: what crier gateway init writes is right, also with each of its commented lines.
func TestExample(t *testing.T) {
	if _, err := Parse("crier.yaml", Example); err != nil {
		t.Error(err)
	}
	all := regexp.MustCompile(`(?m)^( *)# ( *[\w$]+:.*)$`).ReplaceAllString(string(Example), "$1$2")
	all = strings.ReplaceAll(all, "integration: guard", "integration: main")
	f, err := Parse("crier.yaml", []byte(all))
	if err != nil {
		t.Fatalf("%v\n%s", err, all)
	}
	if len(f.Integrations) != 4 || f.Authorizer == nil || len(f.Variables) == 0 || len(f.Tables["connections"].Indexes) != 1 || !f.Routes["$default"].Respond || f.Routes["sendMessage"].Integration != "main" {
		t.Errorf("not all of the comments count: %+v\n%s", f, all)
	}
}

// TestSchema: the schema knows what the reader knows, no more and no less, wherever there is an object.
func TestSchema(t *testing.T) {
	var schema any
	if err := json.Unmarshal(Schema, &schema); err != nil {
		t.Fatal(err)
	}
	var inSchema []string
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if properties, ok := v["properties"].(map[string]any); ok {
				for name := range properties {
					inSchema = append(inSchema, name)
				}
			}
			for _, member := range v {
				walk(member)
			}
		case []any:
			for _, item := range v {
				walk(item)
			}
		}
	}
	walk(schema)
	var inReader []string
	for _, file := range []string{"file.go", "tables.go"} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^\s+"(\w+)":\s+func\(v value\)`).FindAllStringSubmatch(string(source), -1) {
			inReader = append(inReader, m[1])
		}
	}
	slices.Sort(inSchema)
	slices.Sort(inReader)
	if !slices.Equal(inSchema, inReader) || len(inReader) < 25 {
		t.Errorf("the schema has\n%q, the reader\n%q", inSchema, inReader)
	}
}

// TestExamplesOfTheRepository: the files in examples are right.
func TestExamplesOfTheRepository(t *testing.T) {
	files, err := filepath.Glob("../examples/lambda/*/crier.yaml")
	if err != nil || len(files) < 6 {
		t.Fatalf("%d examples, %v", len(files), err)
	}
	for _, file := range files {
		if _, err := Load(file); err != nil {
			t.Error(err)
		}
	}
}

// FuzzParse: no file makes the reader panic.
func FuzzParse(f *testing.F) {
	f.Add([]byte(wholeFile))
	f.Add(Example)
	f.Add([]byte("routes: &a {b: *a}\nintegrations: *a"))
	f.Fuzz(func(t *testing.T, file []byte) {
		Parse("crier.yaml", file)
	})
}
