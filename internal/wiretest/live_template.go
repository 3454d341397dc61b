package wiretest

import (
	"slices"
	"strconv"
	"strings"
)

// A template is a frame in which <kind:name> stands for what the server
// chooses: <id:ann>, <at:1>, <token:ann>, <now>. The same name is the same
// value everywhere. A kind without a name may have another value each time.
//
// Offsets ascend if they are called <at:topic/n>, the place of the topic's
// entry n, or <head:topic/n/who>, a greeting's when the topic had n entries. In
// <mid:topic/n/who> entry n is the join that the greeting is about: which of
// the two offsets is greater does not matter.

// kinds are what can stand for a placeholder of each kind: how long it is (0:
// up to the next quotation mark), and of which characters.
var kinds = map[string]struct {
	size  int
	chars string
}{
	"id":    {16, base64url + "="},
	"token": {22, base64url},
	"at":    {15, base64url},
	"head":  {15, base64url},
	"mid":   {15, base64url},
	"now":   {13, "0123456789"},
	"any":   {0, ""},
}

const base64url = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// bindings know what placeholders stand for.
type bindings struct {
	value map[string]string
	order map[string][]place // by topic
}

// A place is where in a topic's order an offset belongs.
type place struct {
	kind  string
	entry int
	text  string
}

func newBindings() *bindings {
	return &bindings{value: make(map[string]string), order: make(map[string][]place)}
}

// match reports whether a frame is what the template says. What it learns by
// that stays known, and is returned so that it can be forgotten.
func (b *bindings) match(template, frame string) (learnt []string, ok bool) {
	for template != "" {
		literal, rest, found := strings.Cut(template, "<")
		after, fits := strings.CutPrefix(frame, literal)
		if !fits {
			b.forget(learnt)
			return nil, false
		}
		if !found {
			return b.end(learnt, after)
		}
		name, rest, closed := strings.Cut(rest, ">")
		if !closed {
			panic("a template is cut short: " + template)
		}
		value, known := b.value[name]
		if !known {
			if value, fits = candidate(name, after, rest == ""); fits && strings.Contains(name, ":") {
				if fits = b.learn(name, value); fits {
					learnt = append(learnt, name)
				}
			}
		}
		if !fits || !strings.HasPrefix(after, value) {
			b.forget(learnt)
			return nil, false
		}
		template, frame = rest, after[len(value):]
	}
	return b.end(learnt, frame)
}

// end matches the end of a frame.
func (b *bindings) end(learnt []string, rest string) ([]string, bool) {
	if rest != "" {
		b.forget(learnt)
		return nil, false
	}
	return learnt, true
}

// candidate returns what stands for the placeholder at the beginning of text,
// or, if nothing follows in the template, for one that is all of it.
func candidate(name, text string, last bool) (value string, ok bool) {
	kind, _, _ := strings.Cut(name, ":")
	k, known := kinds[kind]
	if !known {
		panic("there is no placeholder <" + name + ">")
	}
	if k.size == 0 {
		if end := strings.IndexByte(text, '"'); end >= 0 && !last {
			return text[:end], true
		}
		return text, true
	}
	if len(text) < k.size || strings.Trim(text[:k.size], k.chars) != "" {
		return "", false
	}
	return text[:k.size], true
}

// learn binds a name to a value, unless that is against the order of offsets,
// or the id of somebody else.
func (b *bindings) learn(name, value string) bool {
	kind, id, _ := strings.Cut(name, ":")
	topic, number, ordered := strings.Cut(id, "/")
	ordered = ordered && kind != "now"
	switch {
	case kind == "id":
		for other, known := range b.value {
			if strings.HasPrefix(other, "id:") && known == value {
				return false
			}
		}
	case ordered:
		p := place{kind: kind, text: value}
		number, _, _ = strings.Cut(number, "/")
		p.entry, _ = strconv.Atoi(number)
		if !p.fits(b.order[topic]) {
			return false
		}
		b.order[topic] = append(b.order[topic], p)
	}
	b.value[name] = value
	return true
}

// fits reports whether a place is where the others let it be.
func (p place) fits(others []place) bool {
	for _, o := range others {
		if !p.before(o) || !o.before(p) {
			return false
		}
	}
	return true
}

// before reports whether it does not contradict the order of two places that p
// comes after o, if it does.
func (p place) before(o place) bool {
	switch {
	case p.kind == "at" && o.kind == "at":
		return (p.entry < o.entry) == (p.text < o.text)
	case p.kind == "at" && p.entry > o.entry:
		return p.text > o.text
	case p.kind == "at" && (p.entry < o.entry || o.kind == "head"):
		return p.text <= o.text
	}
	return true
}

// forget undoes what was learnt last.
func (b *bindings) forget(learnt []string) {
	for _, name := range slices.Backward(learnt) {
		kind, id, _ := strings.Cut(name, ":")
		if topic, _, ordered := strings.Cut(id, "/"); ordered && kind != "now" {
			b.order[topic] = b.order[topic][:len(b.order[topic])-1]
		}
		delete(b.value, name)
	}
}

// fill writes a template with what is known.
func (b *bindings) fill(template string) string {
	var out strings.Builder
	for {
		literal, rest, found := strings.Cut(template, "<")
		out.WriteString(literal)
		if !found {
			return out.String()
		}
		name, rest, _ := strings.Cut(rest, ">")
		if value, known := b.value[name]; known {
			out.WriteString(value)
		} else {
			out.WriteString("<" + name + ">")
		}
		template = rest
	}
}
