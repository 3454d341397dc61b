package api

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

type node = yaml.Node

// A reader reads a YAML file and collects its mistakes.
type reader struct {
	name     string // of the file
	mistakes []mistake
}

type mistake struct {
	line, column int
	text         string
}

// A value is a place in the file.
type value struct {
	r    *reader
	node *node  // nil: it is not there
	key  string // such as routes.$connect
	name *node  // where key is written; nil: it is an item, or the whole file
}

// fields maps the members of an object to the functions that read them.
type fields map[string]func(value)

// document returns the file's only document, an object.
func (r *reader) document(text []byte) (*node, error) {
	var doc node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, r.noYAML(err)
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s:1: want an API: routes and integrations", r.name)
	}
	return doc.Content[0], nil
}

// noYAML returns an error that says where a text is not YAML.
func (r *reader) noYAML(err error) error {
	var at *yaml.LoadError
	if !errors.As(err, &at) || at.Mark.Line == 0 {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	mark := at.Mark
	if at.ContextMark.Line == mark.Line-1 && strings.HasPrefix(at.Message, "could not find expected") {
		mark = at.ContextMark // a key, after which something is missing
	}
	return fmt.Errorf("%s:%d:%d: %s", r.name, mark.Line, mark.Column, at.Message)
}

// err returns all mistakes, in the order of the file.
func (r *reader) err() error {
	if len(r.mistakes) == 0 {
		return nil
	}
	slices.SortStableFunc(r.mistakes, func(a, b mistake) int {
		return cmp.Or(a.line-b.line, a.column-b.column)
	})
	mistakes := slices.Compact(r.mistakes) // what is looked at twice is wrong twice
	lines := make([]string, len(mistakes))
	for i, m := range mistakes {
		lines[i] = fmt.Sprintf("%s:%d:%d: %s", r.name, m.line, m.column, m.text)
	}
	return fmt.Errorf("%s", strings.Join(lines, "\n"))
}

// fail notes a mistake. It is where the key is: the value may begin on another
// line, and its node has a wrong column where it is empty.
func (v value) fail(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if v.key != "" {
		text = v.key + ": " + text
	}
	at := v.node
	if v.name != nil {
		at = v.name
	}
	v.r.mistakes = append(v.r.mistakes, mistake{at.Line, at.Column, text})
}

// object calls the function for each member of an object. It notes members that
// have no function, and required members that are missing.
func (r *reader) object(n *node, key string, f fields, required ...string) {
	value{r, n, key, nil}.object(f, required...)
}

func (v value) object(f fields, required ...string) {
	seen := make(map[string]bool)
	v.each(func(name string, member value) {
		seen[name] = true
		read, ok := f[name]
		if !ok {
			member.key = v.key
			member.fail("%q is not known here; there are %s", name, list(f))
			return
		}
		read(member)
	})
	for _, name := range required {
		if !seen[name] && v.isObject() {
			v.fail("%s is missing", name)
		}
	}
}

// each calls do with each member of an object.
func (v value) each(do func(name string, member value)) {
	if v.node == nil {
		return
	}
	n := resolve(v.node)
	if n.Kind != yaml.MappingNode {
		v.fail("want an object, that is lines of the form key: value")
		return
	}
	seen := make(map[string]bool)
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := n.Content[i].Value
		key := name
		if v.key != "" {
			key = v.key + "." + name
		}
		member := value{v.r, n.Content[i+1], key, n.Content[i]}
		if seen[name] {
			member.fail("is there twice")
			continue
		}
		seen[name] = true
		do(name, member)
	}
}

// at returns the member of an object, or a value that is not there.
func (r *reader) at(n *node, name string) (found value) {
	found.r = r
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return value{r, n.Content[i+1], name, n.Content[i]}
		}
	}
	return found
}

// items calls do with each element of a list.
func (v value) items(do func(value)) {
	n := resolve(v.node)
	if n.Kind != yaml.SequenceNode {
		v.fail("want a list")
		return
	}
	for i, item := range n.Content {
		do(value{v.r, item, fmt.Sprintf("%s[%d]", v.key, i), nil})
	}
}

func resolve(n *node) *node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func isNull(n *node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

func (v value) isObject() bool { return resolve(v.node).Kind == yaml.MappingNode }
func (v value) isText() bool   { return resolve(v.node).Kind == yaml.ScalarNode && !v.isNull() }
func (v value) isNull() bool   { return isNull(resolve(v.node)) }

// text reads text; numbers and the like are taken as they are written.
func (v value) text() string {
	if !v.isText() {
		v.fail("want text")
		return ""
	}
	return resolve(v.node).Value
}

func (v value) truth() bool {
	switch text := v.text(); text {
	case "true":
		return true
	case "false":
	default:
		v.fail("want true or false, not %q", text)
	}
	return false
}

func (v value) number(least, most int) int {
	n, err := strconv.Atoi(v.text())
	if err != nil || n < least || n > most {
		v.fail("want a number from %d to %d", least, most)
	}
	return n
}

// duration reads a time such as 10s or 500ms; a number alone is seconds, as in
// Lambda's own configuration.
func (v value) duration() time.Duration {
	text := v.text()
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		text += "s"
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Millisecond || d > maxTimeout {
		v.fail("want a time such as 10s, at most %v", maxTimeout)
	}
	return d
}

func (v value) url() string {
	text := v.text()
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		v.fail("want a URL such as http://localhost:5000/events")
	}
	return text
}

// texts reads an object of texts.
func (v value) texts() map[string]string {
	m := make(map[string]string)
	v.each(func(name string, v value) { m[name] = v.text() })
	return m
}

// environment reads an object of texts, in which a name alone stands for what
// crier's own environment has.
func (v value) environment() map[string]*string {
	m := make(map[string]*string)
	v.each(func(name string, v value) {
		if v.isNull() {
			m[name] = nil
			return
		}
		text := v.text()
		m[name] = &text
	})
	return m
}

// list names the keys of a map for a person.
func list[V any](m map[string]V) string {
	if len(m) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(maps.Keys(m)), ", ")
}
