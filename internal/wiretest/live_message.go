package wiretest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// A liveMessage is what a client sent to /live, as the model reads it.
type liveMessage struct {
	body   []string // the client's own members, as `"x":3`
	bad    string   // why it is a bad-member, if it is one
	twice  bool     // because of a member that may be there once only
	topic  string
	id     string // raw JSON
	key    string
	to     []string
	rawTo  string
	join   string
	leave  string
	last   int
	since  string
	unkept bool // _keep:false
	tied   bool
	own    bool
	drop   bool

	known map[string]bool // the members it has that /live understands
}

// understood are the members that a client may send, stamps those that only
// the server writes.
var (
	understood = []string{"_topic", "_keep", "_key", "_tied", "_own", "_drop", "_to", "_join", "_leave", "_last", "_since", "_id"}
	stamps     = []string{"_user", "_from", "_offset", "_now", "_me", "_hello", "_ready", "_error"}
	single     = []string{"_key", "_to", "_topic"} // may not be twice
)

// readLive reads a text message.
func readLive(text string) *liveMessage {
	m := &liveMessage{known: make(map[string]bool)}
	text = strings.Trim(text, " \t\r\n")
	if !json.Valid([]byte(text)) {
		quoted, _ := json.Marshal(text)
		m.body = []string{`"data":` + string(quoted)}
		return m
	}
	switch text[0] {
	case '{':
		for _, pair := range membersOf(text) {
			m.member(pair[0], pair[1])
		}
		m.check()
	case '[':
		for i, value := range elementsOf(text) {
			m.body = append(m.body, fmt.Sprintf(`"%d":%s`, i, value))
		}
	default:
		if text != "null" {
			m.body = []string{`"data":` + text}
		}
	}
	return m
}

// membersOf returns an object's members in their order, as name and raw value.
func membersOf(object string) (list [][2]string) {
	d := json.NewDecoder(strings.NewReader(object))
	d.Token()
	for d.More() {
		name, _ := d.Token()
		var value json.RawMessage
		d.Decode(&value)
		list = append(list, [2]string{name.(string), string(value)})
	}
	return list
}

func elementsOf(array string) (list []string) {
	var values []json.RawMessage
	json.Unmarshal([]byte(array), &values)
	for _, v := range values {
		list = append(list, string(v))
	}
	return list
}

// member takes in one member of an object.
func (m *liveMessage) member(name, value string) {
	if slices.Contains(stamps, name) {
		return
	}
	if !slices.Contains(understood, name) {
		quoted, _ := json.Marshal(name)
		m.body = append(m.body, string(quoted)+":"+value)
		return
	}
	if m.known[name] && slices.Contains(single, name) {
		m.bad, m.twice = name+" is twice in it", true
		return
	}
	m.known[name] = true
	var ok bool
	switch name {
	case "_id":
		m.id, ok = value, true
	case "_to":
		m.rawTo = value
		m.to, ok = namesIn(value)
	case "_last":
		ok = json.Unmarshal([]byte(value), &m.last) == nil && m.last >= 0
	case "_keep":
		m.unkept, ok = value == "false", value == "true" || value == "false"
	case "_tied", "_own", "_drop":
		flag := map[string]*bool{"_tied": &m.tied, "_own": &m.own, "_drop": &m.drop}[name]
		*flag, ok = value == "true", value == "true" || value == "false"
	default:
		text := map[string]*string{"_topic": &m.topic, "_key": &m.key, "_join": &m.join, "_leave": &m.leave, "_since": &m.since}[name]
		ok = value[0] == '"' && json.Unmarshal([]byte(value), text) == nil
	}
	if !ok {
		m.bad = name + " has another type"
	}
}

// namesIn reads a text, or a list of them.
func namesIn(value string) (list []string, ok bool) {
	var one string
	switch {
	case value[0] == '"':
		ok = json.Unmarshal([]byte(value), &one) == nil
		return []string{one}, ok
	case value[0] == '[' && !bytes.Contains([]byte(value), []byte("null")):
		ok = json.Unmarshal([]byte(value), &list) == nil
	}
	return list, ok && len(list) > 0 && len(list) <= 64
}

// check finds what does not go together.
func (m *liveMessage) check() {
	keyed := m.known["_key"]
	switch {
	case m.bad != "":
	case m.unkept && keyed:
		m.bad = "what has a key is kept"
	case m.tied && m.own:
		m.bad = "tied and owned"
	case !keyed && (m.tied || m.own || m.drop):
		m.bad = "no key"
	case keyed && m.known["_to"]:
		m.bad = "a key is for all"
	case len(m.key) > 128:
		m.bad = "the key is too long"
	}
}

// frame writes the message as the readers get it. The members between the
// client's own and _now are given.
func (m *liveMessage) frame(middle string, now string, me bool) string {
	var stamps []string
	add := func(has bool, member string) {
		if has {
			stamps = append(stamps, member)
		}
	}
	quoted, _ := json.Marshal(m.key)
	add(m.known["_key"], `"_key":`+string(quoted))
	add(m.tied, `"_tied":true`)
	add(m.own, `"_own":true`)
	add(m.drop, `"_drop":true`)
	add(m.unkept, `"_keep":false`)
	add(m.known["_to"], `"_to":`+m.rawTo)
	add(me && m.known["_id"], `"_id":`+m.id)
	stamps = append(stamps, middle, now, fmt.Sprintf(`"_me":%t`, me))
	return "{" + strings.Join(append(slices.Clone(m.body), stamps...), ",") + "}"
}
