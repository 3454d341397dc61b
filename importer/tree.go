package importer

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// A tree is a part of a file: text, a list, an object, or nothing (kind null). A tree is not changed once it is made.
type tree struct {
	kind    kind
	text    string
	missing []string // of text: why parts of it are ${…}, and not known
	items   []*tree
	members []member
}

type kind int

const (
	null kind = iota
	scalar
	list
	object
)

type member struct {
	name  string
	value *tree
	line  int // of the source where it is; 0 if it is elsewhere
}

func newText(text string, missing ...string) *tree {
	return &tree{kind: scalar, text: text, missing: missing}
}

// hole is a text of which nothing is known.
func hole(expression, why string) *tree { return newText("${"+expression+"}", why) }

// line returns where a member of an object is; 0 if that is not known.
func (t *tree) line(name string) int {
	for _, m := range t.getMembers() {
		if m.name == name {
			return m.line
		}
	}
	return 0
}

// get returns a member of an object; nil if there is none.
func (t *tree) get(name string) *tree {
	if t == nil {
		return nil
	}
	for _, m := range t.members {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

// str returns a text; nothing of what is none.
func (t *tree) str() string {
	if t == nil {
		return ""
	}
	return t.text
}

// getMembers returns the members of an object; none of what is none.
func (t *tree) getMembers() []member {
	if t == nil {
		return nil
	}
	return t.members
}

func (t *tree) is(k kind) bool { return t != nil && t.kind == k }

// known reports whether t is a text without holes.
func (t *tree) known() bool { return t.is(scalar) && len(t.missing) == 0 }

// each returns the elements of a list, or t itself if it is a single text.
func (t *tree) each() []*tree {
	switch {
	case t.is(list):
		return t.items
	case t.is(scalar):
		return []*tree{t}
	}
	return nil
}

// with returns an object with the members of t and of more; those of more count where both have one.
func (t *tree) with(more *tree) *tree {
	merged := &tree{kind: object}
	for _, from := range []*tree{t, more} {
		if from == nil {
			continue
		}
		for _, m := range from.members {
			if i := slices.IndexFunc(merged.members, func(o member) bool { return o.name == m.name }); i >= 0 {
				merged.members[i] = m
			} else {
				merged.members = append(merged.members, m)
			}
		}
	}
	return merged
}

const (
	maxNodes = 200_000
	maxDepth = 100
)

var errTooLarge = errors.New("it is too large, or refers to itself")

// parseTree reads YAML or JSON. Of other files than the source, lines are not kept.
func parseTree(text []byte, lines bool) (*tree, error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if json.Valid(text) { // in which tabs are between values only; YAML has none
		text = bytes.ReplaceAll(text, []byte("\t"), []byte(" "))
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		return nil, errors.New("it is empty")
	}
	p := treeParser{lines: lines, done: make(map[*yaml.Node]*tree)}
	t := p.tree(doc.Content[0], 0)
	if p.failed {
		return nil, errTooLarge
	}
	return t, nil
}

type treeParser struct {
	lines  bool
	nodes  int
	failed bool
	done   map[*yaml.Node]*tree // of what aliases refer to; nil while it is being read
}

func (p *treeParser) tree(n *yaml.Node, depth int) *tree {
	if p.nodes++; p.nodes > maxNodes || depth > maxDepth {
		p.failed = true
		return &tree{}
	}
	if n.Kind == yaml.AliasNode {
		return p.tree(n.Alias, depth+1)
	}
	if n.Anchor == "" {
		return p.tagged(n, depth)
	}
	t, seen := p.done[n]
	switch {
	case seen && t == nil:
		p.failed = true
		return &tree{}
	case !seen:
		p.done[n] = nil
		t = p.tagged(n, depth)
		p.done[n] = t
	}
	return t
}

// tagged reads a node, and turns a short tag into an object with the function's long name.
// https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/intrinsic-function-reference.html
func (p *treeParser) tagged(n *yaml.Node, depth int) *tree {
	t := p.plain(n, depth)
	tag, ok := strings.CutPrefix(n.Tag, "!")
	if !ok || tag == "" || tag[0] == '!' {
		return t
	}
	if tag != "Ref" && tag != "Condition" {
		tag = "Fn::" + tag
	}
	if t.kind == null {
		t = newText("")
	}
	return &tree{kind: object, members: []member{{tag, t, p.line(n)}}}
}

func (p *treeParser) line(n *yaml.Node) int {
	if !p.lines {
		return 0
	}
	return n.Line
}

func (p *treeParser) plain(n *yaml.Node, depth int) *tree {
	switch n.Kind {
	case yaml.ScalarNode:
		if n.Tag == "!!null" {
			return &tree{}
		}
		return newText(n.Value)
	case yaml.SequenceNode:
		t := &tree{kind: list}
		for _, item := range n.Content {
			t.items = append(t.items, p.tree(item, depth+1))
		}
		return t
	case yaml.MappingNode:
		t, merged := &tree{kind: object}, &tree{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			value := p.tree(n.Content[i+1], depth+1)
			if n.Content[i].Tag == "!!merge" || n.Content[i].Value == "<<" {
				for _, from := range append([]*tree{value}, value.items...) {
					merged = from.with(merged) // what comes first counts
				}
				continue
			}
			if name := n.Content[i].Value; name != "" { // which nothing could be called
				t.members = append(t.members, member{name, value, p.line(n.Content[i])})
			}
		}
		if len(merged.members) > 0 {
			return merged.with(t)
		}
		return t
	}
	return &tree{}
}
