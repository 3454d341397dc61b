package importer

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// eval resolves all intrinsic functions in a tree. It returns nil for AWS::NoValue.
func (s *stack) eval(t *tree) *tree {
	if t == nil {
		return nil
	}
	s.steps++
	s.depth++
	defer func() { s.depth-- }()
	if s.spent() || s.depth > maxDepth {
		s.steps = maxSteps + 1
		return hole("…", "it refers to itself")
	}
	switch t.kind {
	case scalar:
		if strings.Contains(t.text, "{{resolve:") {
			return newText(t.text, append([]string{"only AWS can resolve it"}, t.missing...)...)
		}
	case list:
		resolved := &tree{kind: list}
		for _, item := range t.items {
			if item = s.eval(item); item != nil {
				resolved.items = append(resolved.items, item)
			}
		}
		return resolved
	case object:
		if len(t.members) == 1 && (t.members[0].name == "Ref" || strings.HasPrefix(t.members[0].name, "Fn::")) {
			return s.apply(t.members[0].name, t.members[0].value)
		}
		resolved := &tree{kind: object}
		for _, m := range t.members {
			if value := s.eval(m.value); value != nil {
				resolved.members = append(resolved.members, member{m.name, value, m.line})
			}
		}
		return resolved
	}
	return t
}

// apply applies an intrinsic function.
func (s *stack) apply(function string, argument *tree) *tree {
	switch function {
	case "Ref":
		return s.ref(argument.text)
	case "Fn::GetAtt":
		return s.getAtt(argument)
	case "Fn::Sub":
		return s.sub(argument)
	case "Fn::Join":
		return s.join(argument)
	case "Fn::Select":
		return s.choose(argument)
	case "Fn::Split":
		return s.split(argument)
	case "Fn::If":
		return s.conditional(argument)
	case "Fn::FindInMap":
		return s.findInMap(argument)
	case "Fn::Base64":
		if text := s.eval(argument); text.known() {
			return newText(base64.StdEncoding.EncodeToString([]byte(text.text)))
		}
	case "Fn::ImportValue":
		name := s.eval(argument).str()
		return hole(name, fmt.Sprintf("another stack exports %s", name))
	}
	return hole(function, function+" is not understood here")
}

func (s *stack) getAtt(argument *tree) *tree {
	if argument.is(list) && len(argument.items) > 1 {
		return s.attribute(argument.items[0].text, s.eval(argument.items[1]).str())
	}
	name, attribute, _ := strings.Cut(argument.text, ".")
	return s.attribute(name, attribute)
}

// join implements Fn::Join: [delimiter, [values]].
func (s *stack) join(argument *tree) *tree {
	parts := s.list(argument)
	if len(parts) != 2 {
		return hole("Fn::Join", "it has no delimiter and values")
	}
	var texts, missing []string
	for _, part := range parts[1].each() {
		texts = append(texts, part.text)
		missing = union(missing, part.missing)
	}
	return newText(strings.Join(texts, parts[0].text), missing...)
}

// list returns the elements of a list, resolved.
func (s *stack) list(t *tree) []*tree {
	if resolved := s.eval(t); resolved.is(list) {
		return resolved.items
	}
	return nil
}

// choose implements Fn::Select: [index, [values]].
func (s *stack) choose(argument *tree) *tree {
	parts := s.list(argument)
	if len(parts) == 2 {
		values := parts[1].each()
		if i, err := strconv.Atoi(parts[0].text); err == nil && i >= 0 && i < len(values) {
			return values[i]
		}
	}
	return hole("Fn::Select", "there is nothing to select from")
}

// split implements Fn::Split: [delimiter, text].
func (s *stack) split(argument *tree) *tree {
	parts := s.list(argument)
	if len(parts) != 2 || parts[0].text == "" {
		return hole("Fn::Split", "it has no delimiter and text")
	}
	t := &tree{kind: list}
	for part := range strings.SplitSeq(parts[1].text, parts[0].text) {
		item := newText(part)
		if holes.MatchString(part) {
			item.missing = parts[1].missing
		}
		t.items = append(t.items, item)
	}
	return t
}

// conditional implements Fn::If: [condition, value, value].
func (s *stack) conditional(argument *tree) *tree {
	if !argument.is(list) || len(argument.items) != 3 {
		return hole("Fn::If", "it has no condition and two values")
	}
	name := argument.items[0].text
	holds, known := s.condition(argument.items[0])
	switch {
	case !known:
		return hole("Fn::If "+name, fmt.Sprintf("whether %s holds is not known", name))
	case holds:
		return s.eval(argument.items[1])
	}
	return s.eval(argument.items[2])
}

// condition evaluates one of the template's conditions, or what makes one.
func (s *stack) condition(t *tree) (holds, known bool) {
	s.steps++
	s.depth++
	defer func() { s.depth-- }()
	if t == nil || s.spent() || s.depth > maxDepth {
		return false, false
	}
	if t.kind == scalar {
		return s.condition(s.conditions.get(t.text))
	}
	if t.kind != object || len(t.members) != 1 {
		return false, false
	}
	switch name, argument := t.members[0].name, t.members[0].value; name {
	case "Condition":
		return s.condition(argument)
	case "Fn::Equals":
		sides := s.list(argument)
		if len(sides) != 2 || !sides[0].known() || !sides[1].known() {
			return false, false
		}
		return sides[0].text == sides[1].text, true
	case "Fn::Not":
		if len(argument.items) == 1 {
			holds, known = s.condition(argument.items[0])
		}
		return !holds, known
	case "Fn::And", "Fn::Or":
		return s.several(argument.items, name == "Fn::Or")
	}
	return false, false
}

// several evaluates conditions of which one decides if it is decisive.
func (s *stack) several(conditions []*tree, decisive bool) (holds, known bool) {
	known = true
	for _, c := range conditions {
		h, k := s.condition(c)
		if k && h == decisive {
			return decisive, true
		}
		known = known && k
	}
	return !decisive, known
}

// findInMap implements Fn::FindInMap: [map, key, key].
func (s *stack) findInMap(argument *tree) *tree {
	keys := s.list(argument)
	found := s.mappings
	for _, key := range keys {
		found = found.get(key.text)
	}
	if len(keys) < 3 || found == nil {
		return hole("Fn::FindInMap", "the mapping has no such key")
	}
	return s.eval(found)
}

// sub implements Fn::Sub: text, or [text, {name: value}].
func (s *stack) sub(argument *tree) *tree {
	text, own := argument, (*tree)(nil)
	if argument.is(list) && len(argument.items) == 2 {
		text, own = argument.items[0], argument.items[1]
	}
	var b strings.Builder
	missing := slices.Clone(text.missing)
	rest := text.text
	for {
		before, after, ok := strings.Cut(rest, "${")
		end := strings.IndexByte(after, '}')
		if !ok || end < 0 {
			b.WriteString(rest)
			break
		}
		b.WriteString(before)
		name := strings.TrimSpace(after[:end])
		rest = after[end+1:]
		literal, isLiteral := strings.CutPrefix(name, "!")
		if isLiteral {
			b.WriteString("${" + literal + "}")
			continue
		}
		value := s.variable(name, own)
		b.WriteString(value.str())
		if value != nil {
			missing = union(missing, value.missing)
		}
	}
	return newText(b.String(), missing...)
}

// variable returns what ${name} stands for in Fn::Sub.
func (s *stack) variable(name string, own *tree) *tree {
	if value := own.get(name); value != nil {
		return s.eval(value)
	}
	if resource, attribute, ok := strings.Cut(name, "."); ok {
		return s.attribute(resource, attribute)
	}
	return s.ref(name)
}

// union returns the elements of both, each once.
func union(a, b []string) []string {
	a = slices.Clip(a)
	for _, e := range b {
		if !slices.Contains(a, e) {
			a = append(a, e)
		}
	}
	return a
}
