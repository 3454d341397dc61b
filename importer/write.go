package importer

import (
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"

	"crier/api"
)

// write writes the result.
func (c *conversion) write() (*Result, error) {
	r := &Result{Code: c.code, Routes: len(c.service.routes), Tables: len(c.service.tables)}
	for _, i := range c.service.integrations {
		if i.lambda != nil {
			r.Functions++
		}
	}
	var sections []string
	for _, section := range []*yaml.Node{c.stageNode(), c.routesNode(), c.integrationsNode(), c.authorizerNode(), c.environmentNode(), c.tablesNode()} {
		if len(section.Content) == 0 {
			continue
		}
		text, err := yaml.Dump(section, yaml.WithIndent(2), yaml.WithLineWidth(-1))
		if err != nil {
			return nil, fmt.Errorf("write crier.yaml: %w", err)
		}
		sections = append(sections, string(text))
	}
	// What is to be filled in is known only now.
	r.Steps, r.Fill, r.Left = c.steps, c.fills, c.left
	r.File = []byte(c.header(r) + strings.Join(sections, "\n"))
	return r, nil
}

// header is the comment with which the file begins.
func (c *conversion) header(r *Result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "An API for crier gateway, made from %s (%s) by crier gateway init.\n", c.here(c.source.Name), c.origin)
	b.WriteString(r.Report())
	var commented strings.Builder
	for line := range strings.Lines(b.String()) {
		line = strings.TrimRight(line, "\n")
		commented.WriteString(strings.TrimRight("# "+line, " ") + "\n")
	}
	return commented.String() + "\n"
}

// Report returns what a person should know, in lines.
func (r *Result) Report() string {
	var b strings.Builder
	for _, part := range []struct {
		title string
		notes []string
	}{
		{"Before it runs", r.Steps},
		{"To fill in, where the comments are", r.Fill},
		{"Left out", r.Left},
	} {
		if len(part.notes) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n%s:\n", part.title)
		for _, note := range part.notes {
			fmt.Fprintf(&b, "  %s\n", oneLine(note))
		}
	}
	return b.String()
}

var controls = regexp.MustCompile(`[\p{Cc}\p{Zl}\p{Zp}]+`)

// oneLine makes a line of a text, for comments and terminals.
func oneLine(text string) string { return strings.TrimSpace(controls.ReplaceAllString(text, " ")) }

func newObject() *yaml.Node { return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"} }

func newScalar(text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
}

// set adds a member to an object.
func set(object *yaml.Node, name string, value *yaml.Node) {
	object.Content = append(object.Content, newScalar(name), value)
}

// setText adds a text, unless it is empty.
func setText(object *yaml.Node, name, text string) {
	if text != "" {
		set(object, name, newScalar(text))
	}
}

// setNumber adds a number, unless it is 0, with what belongs to it.
func setNumber(object *yaml.Node, name string, n int, unit string) {
	if n != 0 {
		set(object, name, &yaml.Node{Kind: yaml.ScalarNode, Value: fmt.Sprint(n, unit)})
	}
}

var stageName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)

func (c *conversion) stageNode() *yaml.Node {
	n := newObject()
	stage := c.service.stage
	switch {
	case stage == nil:
		c.leave(0, "the stage", "there is none in "+c.source.Name+"; it is dev")
	case !stageName.MatchString(stage.text):
		stage = newText("dev", append(stage.missing, "the stage is "+stage.text+", which is none here")...)
	}
	if stage != nil {
		value := newScalar(stage.text)
		c.comment(value, c.service.stageLine, "stage", stage)
		set(n, "stage", value)
	}
	if selection := c.service.selection; selection != "" {
		if _, err := api.ParseSelection(selection); err != nil {
			c.leave(c.stack.api.line, "the route selection expression "+selection, err.Error())
		} else {
			setText(n, "routeSelectionExpression", selection)
		}
	}
	if len(c.service.stageVariables) > 0 {
		set(n, "stageVariables", c.variablesNode("stageVariables", c.service.stageVariables))
	}
	return n
}

// comment says beside a value why it is not known, and that it must be filled in.
func (c *conversion) comment(value *yaml.Node, line int, key string, t *tree) {
	if len(t.missing) > 0 {
		why := oneLine(strings.Join(t.missing, "; "))
		value.LineComment = "# to do: " + why
		c.fill(line, key, why)
	}
}

func (c *conversion) variablesNode(key string, list []variable) *yaml.Node {
	n := newObject()
	seen := make(map[string]bool)
	for _, v := range list {
		if seen[v.name] {
			continue
		}
		seen[v.name] = true
		if v.value == nil {
			set(n, v.name, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", LineComment: "# as it is where crier is started"})
			continue
		}
		value := newScalar(v.value.text)
		c.comment(value, v.line, key+"."+v.name, v.value)
		set(n, v.name, value)
	}
	return n
}

func (c *conversion) routesNode() *yaml.Node {
	routes := newObject()
	for _, r := range c.service.routes {
		if !r.respond {
			set(routes, r.key, newScalar(r.integration))
			continue
		}
		route := newObject()
		route.Style = yaml.FlowStyle
		set(route, "integration", newScalar(r.integration))
		set(route, "routeResponse", &yaml.Node{Kind: yaml.ScalarNode, Value: "true"})
		set(routes, r.key, route)
	}
	n := newObject()
	set(n, "routes", routes)
	return n
}

func (c *conversion) integrationsNode() *yaml.Node {
	integrations := newObject()
	for _, i := range c.service.integrations {
		value := newObject()
		switch {
		case i.lambda != nil:
			set(value, "lambda", c.lambdaNode(i))
		case i.invoke != "":
			set(value, "invoke", newScalar(i.invoke))
		case i.http != "":
			set(value, "http", newScalar(i.http))
		default:
			mock := newObject()
			mock.Style = yaml.FlowStyle
			setNumber(mock, "statusCode", 200, "")
			setText(mock, "body", i.mock)
			set(value, "mock", mock)
		}
		name := newScalar(i.name)
		if i.comment != "" {
			name.HeadComment = "# " + oneLine(i.comment)
		}
		integrations.Content = append(integrations.Content, name, value)
	}
	n := newObject()
	set(n, "integrations", integrations)
	return n
}

func (c *conversion) lambdaNode(i integration) *yaml.Node {
	l, n := i.lambda, newObject()
	if l.directory == "." {
		l.directory = ""
	}
	setText(n, "handler", l.handler)
	setText(n, "directory", l.directory)
	setText(n, "bootstrap", l.bootstrap)
	setText(n, "runtime", l.runtime)
	setNumber(n, "timeout", l.timeout, "s")
	setNumber(n, "memory", l.memory, "")
	setNumber(n, "concurrency", l.concurrency, "")
	if len(l.environment) > 0 {
		set(n, "environment", c.variablesNode("integrations."+i.name+".lambda.environment", l.environment))
	}
	return n
}

func (c *conversion) authorizerNode() *yaml.Node {
	n := newObject()
	a := c.service.authorizer
	if a == nil {
		return n
	}
	value := newObject()
	setText(value, "integration", a.integration)
	if len(a.identity) > 0 {
		set(value, "identitySource", textsNode(a.identity))
	}
	set(n, "authorizer", value)
	return n
}

func textsNode(texts []string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Style: yaml.FlowStyle}
	for _, text := range texts {
		n.Content = append(n.Content, newScalar(text))
	}
	return n
}

func (c *conversion) environmentNode() *yaml.Node {
	n := newObject()
	if len(c.service.environment) > 0 {
		set(n, "environment", c.variablesNode("environment", c.service.environment))
	}
	return n
}

func (c *conversion) tablesNode() *yaml.Node {
	tables := newObject()
	for _, t := range c.service.tables {
		table := newObject()
		setAttribute(table, "partitionKey", t.key.partition)
		setAttribute(table, "sortKey", t.key.sort)
		indexes := newObject()
		for _, i := range t.indexes {
			index := newObject()
			index.Style = yaml.FlowStyle
			if !i.local {
				setAttribute(index, "partitionKey", i.key.partition)
			}
			setAttribute(index, "sortKey", i.key.sort)
			if i.keysOnly {
				setText(index, "projection", "KEYS_ONLY")
			} else if len(i.projection) > 0 {
				set(index, "projection", textsNode(i.projection))
			}
			set(indexes, i.name, index)
		}
		if len(indexes.Content) > 0 {
			set(table, "indexes", indexes)
		}
		set(tables, t.name, table)
	}
	n := newObject()
	if len(tables.Content) > 0 {
		set(n, "tables", tables)
	}
	return n
}

// setAttribute adds an attribute of a key, if there is one: its name, and its type if that is no string's.
func setAttribute(object *yaml.Node, name string, a attribute) {
	if a.name == "" {
		return
	}
	if a.kind == "S" {
		set(object, name, newScalar(a.name))
		return
	}
	value := newObject()
	value.Style = yaml.FlowStyle
	setText(value, "name", a.name)
	setText(value, "type", a.kind)
	set(object, name, value)
}
