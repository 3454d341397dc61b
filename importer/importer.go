package importer

import (
	"fmt"
	"path"
	"strings"
)

// A Source is a file that describes an API, and what is around it.
type Source struct {
	Name   string                                    // of the file, for messages
	Text   []byte                                    // what it says
	Dir    string                                    // where it is, as seen from crier.yaml's directory; slashes
	Read   func(path string) ([]byte, error)         // of a file, by its path as seen from Dir
	Exists func(path string) bool                    // of a file or directory
	Env    func(name string) (value string, ok bool) // of the environment
	Region string                                    // that functions are told
}

// A Result is what came of a source.
type Result struct {
	File []byte            // crier.yaml
	Code map[string][]byte // handlers that were part of the source, by their path as seen from crier.yaml's directory

	Routes, Functions, Tables int // how many there are

	Steps []string // what must be done before it runs
	Fill  []string // what must be filled in
	Left  []string // what was left out, and why
}

// Convert writes a crier.yaml. An error says that there is no API to be found.
func Convert(s Source) (*Result, error) {
	if hint := foreign(s.Name); hint != "" {
		return nil, fmt.Errorf("%s: %s", s.Name, hint)
	}
	root, err := parseTree(s.Text, true)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name, err)
	}
	c := &conversion{source: s, code: make(map[string][]byte)}
	switch {
	case root.get("Resources") != nil:
		err = c.template(root)
	case root.get("provider") != nil || root.get("service") != nil && root.get("functions") != nil:
		err = c.serverless(root)
	default:
		return nil, fmt.Errorf("%s: it has neither Resources, as templates of CloudFormation and SAM, nor a provider, as a serverless.yml", s.Name)
	}
	if err == nil {
		c.complete()
	}
	switch {
	case c.stack.spent():
		return nil, fmt.Errorf("%s: what it says refers to itself, or is too much to resolve", s.Name)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", s.Name, err)
	}
	return c.write()
}

// foreign says what to do with a file that is not read here; nothing if it may be.
func foreign(name string) string {
	switch base := path.Base(name); path.Ext(base) {
	case ".ts", ".js", ".mjs", ".cjs":
		if strings.HasPrefix(base, "serverless.") {
			return "it is a program, which is not run here; npx serverless print > printed.yml writes what it says, for --from printed.yml"
		}
		return "it is a program, which is not run here; of a CDK app, npx cdk synth writes cdk.out/….template.json, for --from"
	case ".tf", ".hcl", ".toml":
		return "it is none of those that are read here: serverless.yml, and templates of SAM, CloudFormation and the CDK"
	}
	return ""
}

// A conversion is on its way from a source to a result.
type conversion struct {
	source  Source
	origin  string // what kind of file it is
	stack   *stack
	service service
	code    map[string][]byte // by path as seen from crier.yaml's directory

	functions []*function // of the source, in its order
	regional  bool        // functions must be told the stack's region
	notes
	building
}

// A service is an API as crier.yaml has it.
type service struct {
	stage          *tree
	stageLine      int
	selection      string
	stageVariables []variable
	environment    []variable // of all functions
	routes         []route
	integrations   []integration
	authorizer     *authorizer
	tables         []table
}

// A variable has no value if it is to be as it is where crier is started.
type variable struct {
	name  string
	value *tree
	line  int
}

type route struct {
	key         string
	integration string
	respond     bool
}

// An integration is one of a function, a URL or a fixed answer.
type integration struct {
	name    string
	comment string // what must be said of it
	lambda  *lambda
	invoke  string // a URL
	http    string // a URL
	mock    string // of the answer the body
}

// A lambda is a function as crier.yaml has it.
type lambda struct {
	handler, directory, bootstrap, runtime string
	timeout, memory, concurrency           int // 0: not said
	environment                            []variable
}

type authorizer struct {
	integration string
	identity    []string
}

// read returns the text of a file beside the source.
func (c *conversion) read(name string) (string, bool) {
	text, err := c.source.Read(path.Clean(name))
	return string(text), err == nil
}

// exists reports whether there is a file or a directory beside the source.
func (c *conversion) exists(name string) bool { return c.source.Exists(path.Clean(name)) }

// here returns the path of a file beside the source, as seen from crier.yaml's directory.
func (c *conversion) here(name string) string { return path.Join(c.source.Dir, name) }
