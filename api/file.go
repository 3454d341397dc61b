package api

import (
	_ "embed"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A File is the contents of a crier.yaml.
type File struct {
	Path         string // of the file itself; other paths in it are relative to its directory
	Stage        string
	Selection    Selection
	Variables    map[string]string // of the stage
	Environment  map[string]*string
	Routes       map[string]RouteConfig // by route key
	Integrations map[string]IntegrationConfig
	Authorizer   *AuthorizerConfig
	Tables       map[string]TableConfig // by name
}

// A RouteConfig says how the messages of a route are handled.
type RouteConfig struct {
	Integration string // its name
	Respond     bool   // what the integration answers is sent back
}

// An IntegrationConfig says what handles events: exactly one of its members is
// set.
type IntegrationConfig struct {
	Lambda *LambdaConfig
	Invoke *EndpointConfig // a Lambda invoke endpoint
	HTTP   *EndpointConfig // gets events as POST
	Mock   *MockConfig
}

// A LambdaConfig is a function that crier runs.
type LambdaConfig struct {
	Directory   string // absolute
	Handler     string
	Bootstrap   string // absolute, or nothing
	Runtime     string
	Environment map[string]*string // nil: what crier's own environment has
	Memory      int                // megabytes
	Timeout     time.Duration
	Concurrency int
}

// An EndpointConfig is something that runs already.
type EndpointConfig struct {
	URL         string
	Timeout     time.Duration
	Concurrency int
}

// A MockConfig is a fixed answer.
type MockConfig struct {
	StatusCode int
	Body       string
}

// An AuthorizerConfig says what decides about handshakes.
type AuthorizerConfig struct {
	Integration string
	Identity    []identitySource // what a handshake must have
}

const (
	// defaultTimeout is how long an integration may take. It is a little more
	// than API Gateway waits, so that with its limits the answer is API
	// Gateway's.
	defaultTimeout = 30 * time.Second
	maxTimeout     = 15 * time.Minute // Lambda's own

	defaultMemory      = 128
	defaultConcurrency = 10   // of a function
	defaultRequests    = 100  // at an endpoint at once
	maxConcurrency     = 1000 // of both
	maxRoutes          = 300  // of an API, and integrations
)

// Load reads a file. The error lists all mistakes, each with its line and key.
func Load(path string) (*File, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w; crier gateway init writes one", err)
	}
	return Parse(path, text)
}

// Parse reads the text of a file that is at path.
func Parse(path string, text []byte) (*File, error) {
	r := &reader{name: filepath.Base(path)}
	root, err := r.document(text)
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	f := &File{
		Path:         path,
		Stage:        "dev",
		Selection:    Selection{text: "$request.body.action"},
		Routes:       make(map[string]RouteConfig),
		Integrations: make(map[string]IntegrationConfig),
		Tables:       make(map[string]TableConfig),
	}
	f.Selection, _ = ParseSelection(f.Selection.text)
	r.object(root, "", fields{
		"stage":                    func(v value) { f.Stage = v.stage() },
		"routeSelectionExpression": func(v value) { f.Selection = v.selection() },
		"stageVariables":           func(v value) { f.Variables = v.texts() },
		"environment":              func(v value) { f.Environment = v.environment() },
		"routes":                   func(v value) { v.each(func(key string, v value) { f.Routes[key] = v.route(key) }) },
		"integrations":             func(v value) { v.each(func(key string, v value) { f.Integrations[key] = v.integration(key, dir) }) },
		"authorizer":               func(v value) { f.Authorizer = v.authorizer() },
		"tables":                   func(v value) { v.each(func(name string, v value) { f.Tables[name] = v.table(name) }) },
	}, "routes", "integrations")
	r.references(root, f)
	return f, r.err()
}

// Route returns the key of the route that a message takes; ok is false if it
// takes none.
func (f *File) Route(message []byte) (key string, ok bool) {
	key, ok = f.Selection.Key(message)
	if _, known := f.Routes[key]; ok && known && !strings.HasPrefix(key, "$") {
		return key, true
	}
	_, ok = f.Routes["$default"]
	return "$default", ok
}

// Only removes all integrations except that of a route.
func (f *File) Only(route string) { f.only(f.Routes[route].Integration) }

func (f *File) only(integration string) {
	for name := range f.Integrations {
		if name != integration {
			delete(f.Integrations, name)
		}
	}
	f.Authorizer = nil
}

// references checks that what is referred to is there.
func (r *reader) references(root *node, f *File) {
	known := func(v value, name string) {
		if _, ok := f.Integrations[name]; !ok && name != "" {
			v.fail("there is no integration %q; there are %s", name, list(f.Integrations))
		}
	}
	r.at(root, "routes").each(func(key string, v value) { known(v, f.Routes[key].Integration) })
	if f.Authorizer != nil {
		known(r.at(root, "authorizer"), f.Authorizer.Integration)
	}
}

func (v value) route(key string) (route RouteConfig) {
	switch key {
	case "$connect", "$disconnect", "$default":
	default:
		if key == "" || key[0] == '$' {
			v.fail("a route key is not empty and does not begin with $, except for $connect, $disconnect and $default")
		}
	}
	if v.isText() {
		return RouteConfig{Integration: v.text()}
	}
	v.object(fields{
		"integration":   func(v value) { route.Integration = v.text() },
		"routeResponse": func(v value) { route.Respond = v.truth() },
	}, "integration")
	if route.Respond && (key == "$connect" || key == "$disconnect") {
		v.fail("%s has no route response: there is nobody to send it to", key)
	}
	return route
}

func (v value) integration(name, dir string) (c IntegrationConfig) {
	v.object(fields{
		"lambda": func(v value) { c.Lambda = v.lambda(dir) },
		"invoke": func(v value) { c.Invoke = v.endpoint() },
		"http":   func(v value) { c.HTTP = v.endpoint() },
		"mock":   func(v value) { c.Mock = v.mock() },
	})
	kinds := 0
	for _, set := range []bool{c.Lambda != nil, c.Invoke != nil, c.HTTP != nil, c.Mock != nil} {
		if set {
			kinds++
		}
	}
	if kinds != 1 && v.isObject() {
		v.fail("%s must have exactly one of lambda, invoke, http and mock", name)
	}
	return c
}

func (v value) lambda(dir string) *LambdaConfig {
	c := &LambdaConfig{Memory: defaultMemory, Timeout: defaultTimeout, Concurrency: defaultConcurrency}
	within := func(path string) string {
		if path == "" || filepath.IsAbs(path) {
			return path
		}
		return filepath.Join(dir, filepath.FromSlash(path))
	}
	if v.isText() {
		c.Directory, c.Handler = dir, v.handler()
		return c
	}
	var handler value
	v.object(fields{
		"handler":     func(v value) { c.Handler, handler = v.text(), v },
		"directory":   func(v value) { c.Directory = within(v.text()) },
		"bootstrap":   func(v value) { c.Bootstrap = within(v.text()) },
		"runtime":     func(v value) { c.Runtime = v.text() },
		"environment": func(v value) { c.Environment = v.environment() },
		"memory":      func(v value) { c.Memory = v.number(1, 10240) },
		"timeout":     func(v value) { c.Timeout = v.duration() },
		"concurrency": func(v value) { c.Concurrency = v.number(1, maxConcurrency) },
	})
	if c.Handler != "" && c.Bootstrap == "" {
		handler.handler()
	}
	switch {
	case c.Handler == "" && c.Bootstrap == "" && v.isObject():
		v.fail("a function has a handler, such as index.handler, or a bootstrap, the path of an executable")
	case c.Directory == "" && c.Bootstrap != "":
		c.Directory = filepath.Dir(c.Bootstrap)
	case c.Directory == "":
		c.Directory = dir
	}
	return c
}

// handler reads where a function is, such as src/index.handler.
func (v value) handler() string {
	text := v.text()
	file, function, _ := strings.Cut(path.Base(text), ".")
	switch {
	case text == "":
	case file == "":
		v.fail("%q names no file: a handler is FILE.FUNCTION, such as index.handler", text)
	case function == "":
		v.fail("%q names no function: a handler is FILE.FUNCTION, such as index.handler", text)
	}
	return text
}

func (v value) endpoint() *EndpointConfig {
	c := &EndpointConfig{Timeout: defaultTimeout, Concurrency: defaultRequests}
	if v.isText() {
		c.URL = v.url()
		return c
	}
	v.object(fields{
		"url":         func(v value) { c.URL = v.url() },
		"timeout":     func(v value) { c.Timeout = v.duration() },
		"concurrency": func(v value) { c.Concurrency = v.number(1, maxConcurrency) },
	}, "url")
	return c
}

func (v value) mock() *MockConfig {
	c := &MockConfig{StatusCode: 200}
	if v.isNull() {
		return c
	}
	v.object(fields{
		"statusCode": func(v value) { c.StatusCode = v.number(100, 599) },
		"body":       func(v value) { c.Body = v.text() },
	})
	return c
}

func (v value) authorizer() *AuthorizerConfig {
	c := &AuthorizerConfig{}
	if v.isText() {
		c.Integration = v.text()
		return c
	}
	v.object(fields{
		"integration":    func(v value) { c.Integration = v.text() },
		"identitySource": func(v value) { v.items(func(v value) { c.Identity = append(c.Identity, v.identitySource()) }) },
	}, "integration")
	return c
}

func (v value) identitySource() identitySource {
	source, err := parseIdentitySource(v.text())
	if err != nil {
		v.fail("%v", err)
	}
	return source
}

func (v value) selection() Selection {
	s, err := ParseSelection(v.text())
	if err != nil {
		v.fail("%v", err)
	}
	return s
}

// stage reads a stage name: "alphanumeric characters, hyphens, and
// underscores", at most 128.
func (v value) stage() string {
	name := v.text()
	for _, c := range name {
		if !('a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			v.fail("a stage's name has letters, digits, - and _ only")
			return name
		}
	}
	if name == "" || len(name) > 128 {
		v.fail("a stage's name has 1 to 128 characters")
	}
	return name
}

// Example is a commented crier.yaml.
//
//go:embed crier.yaml
var Example []byte

// ExampleHandler is the index.js of Example.
//
//go:embed index.js
var ExampleHandler []byte

// Schema is the JSON schema of crier.yaml.
//
//go:embed schema.json
var Schema []byte

// Keys returns the route keys in the order in which they are listed: those that
// API Gateway defines come first.
func (f *File) Keys() []string {
	keys := slices.Sorted(maps.Keys(f.Routes))
	slices.SortStableFunc(keys, func(a, b string) int { return rank(a) - rank(b) })
	return keys
}

func rank(key string) int {
	if i := slices.Index([]string{"$connect", "$disconnect", "$default"}, key); i >= 0 {
		return i
	}
	return 3
}

// Describe says in a few words what handles a route.
func (f *File) Describe(key string) string {
	route := f.Routes[key]
	c := f.Integrations[route.Integration]
	what := ""
	switch {
	case c.Lambda != nil && c.Lambda.Bootstrap != "":
		what = "lambda " + filepath.Base(c.Lambda.Bootstrap)
	case c.Lambda != nil:
		what = "lambda " + c.Lambda.Handler
	case c.Invoke != nil:
		what = "invoke " + c.Invoke.URL
	case c.HTTP != nil:
		what = "http " + c.HTTP.URL
	case c.Mock != nil:
		what = fmt.Sprintf("mock %d", c.Mock.StatusCode)
	}
	if route.Respond {
		what += ", and back"
	}
	return route.Integration + ": " + what
}
