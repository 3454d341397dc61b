package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// liveLook shows what a server of live sends as a conversation between people:
// who is here, who comes and goes, and what they say, instead of JSON.
//
// Until the first greeting, messages are shown as those of any server.
type liveLook struct {
	look
	self   string            // our own id; empty before the first greeting
	topics map[string]string // those that we are in, and the id that their last greeting gave us
	past   map[string]bool   // topics whose replay is not over
	clock  func() time.Time
}

func newLiveLook(l look) *liveLook {
	return &liveLook{look: l, topics: make(map[string]string), past: make(map[string]bool), clock: time.Now}
}

// writeTo shows messages on out, each in one write.
func (l *liveLook) writeTo(out io.Writer) func(data []byte, binary bool) error {
	return func(data []byte, binary bool) error {
		line := l.message(data, binary)
		if len(line) == 0 {
			return nil
		}
		_, err := out.Write(line)
		return err
	}
}

// message is what to write for one message; nothing if the person knows it.
func (l *liveLook) message(data []byte, binary bool) []byte {
	f, ok := readLive(data)
	switch {
	case binary || !ok || l.self == "" && f.Hello == nil:
		return l.look.message(data, binary)
	case f.Hello != nil:
		return l.greeting(f)
	case f.Ready:
		delete(l.past, f.Topic)
		return nil
	case f.Join != nil:
		return l.news(f, l.name(f.Join.member)+" joined", f.Join.Same, "other")
	case f.Leave != nil && f.Leave.ID == l.self && !l.past[f.Topic]:
		delete(l.topics, f.Topic)
		return l.note("you left " + listedName(f.Topic))
	case f.Leave != nil:
		return l.news(f, l.name(f.Leave.member)+departures[f.Leave.Why], f.Leave.Same, "remaining")
	case f.Error != nil:
		return fmt.Appendln(nil, l.paint(yellow, "* not sent: "+sentence(f.Error.Text)))
	case f.Me && l.mark != "" && !l.past[f.Topic]:
		return nil // it stands above, as it was typed
	}
	return l.said(f)
}

// departures says how somebody left, after the name.
var departures = map[string]string{
	"left": " left", "lost": " lost the connection", "kicked": " was disconnected", "": " left",
}

// greeting says who is here. When the session goes on after a reconnection, the
// person knows that, and gets what happened meanwhile as if it happened now.
func (l *liveLook) greeting(f liveFrame) []byte {
	again := l.topics[f.Topic] == f.Hello.ID && !f.Hello.Missed
	l.self, l.topics[f.Topic] = f.Hello.ID, f.Hello.ID
	if again {
		return nil
	}
	l.past[f.Topic] = true
	var text strings.Builder
	if f.Hello.Missed {
		text.WriteString(string(l.note("messages were missed; what follows is what " + listedName(f.Topic) + " remembers")))
	}
	you := "you have no name"
	if f.Hello.User != "" {
		you = "you are " + l.name(f.Hello.member)
	}
	text.Write(l.note(listedName(f.Topic) + ": " + you + "; " + l.others(f.Hello)))
	return []byte(text.String())
}

// others names those who are in a topic besides us.
func (l *liveLook) others(hello *greeting) string {
	const shown = 8
	var names []string
	unseen := hello.Count - len(hello.Here)
	for _, one := range hello.Here {
		if one.ID == hello.ID {
			continue
		}
		if name := l.name(one); slices.Contains(names, name) {
			continue // the same person, twice
		} else if len(names) < shown {
			names = append(names, name)
		} else {
			unseen++
		}
	}
	switch {
	case len(names) == 0:
		return "nobody else is here"
	case unseen > 0:
		return fmt.Sprintf("%s and %d more are here", strings.Join(names, ", "), unseen)
	case len(names) == 1:
		return names[0] + " is here"
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1] + " are here"
}

// news says that somebody came or went, and how many more connections that user
// has there.
func (l *liveLook) news(f liveFrame, what string, same int, which string) []byte {
	switch {
	case same == 1:
		what += " (1 " + which + " connection)"
	case same > 1:
		what += fmt.Sprintf(" (%d %s connections)", same, which)
	}
	if len(l.topics) > 1 {
		what += ", in " + listedName(f.Topic)
	}
	return l.note(what)
}

// note is a line about the topic, and not of anybody in it.
func (l *liveLook) note(text string) []byte {
	return fmt.Appendln(nil, l.paint(dim, "* "+text))
}

// said is what somebody said, now or in the past.
func (l *liveLook) said(f liveFrame) []byte {
	var b strings.Builder
	if l.past[f.Topic] {
		b.WriteString(l.paint(dim, moment(time.UnixMilli(f.Now), l.clock())) + " ")
	} else {
		b.WriteString(l.paint(green, l.mark))
	}
	if len(l.topics) > 1 {
		b.WriteString(l.paint(dim, "["+listedName(f.Topic)+"]") + " ")
	}
	b.WriteString(l.sender(f))
	if f.To != nil {
		b.WriteString(l.paint(dim, " (privately)"))
	}
	b.WriteString(": ")
	what := l.text(f)
	switch {
	case f.Key != nil && f.Drop:
		what = l.paint(blue, sentence(*f.Key)) + l.paint(dim, " is no more")
	case f.Key != nil:
		what = l.paint(blue, sentence(*f.Key)) + " = " + what
	}
	// As in look.message, no further line can pass for another message.
	b.WriteString(strings.ReplaceAll(what, "\n", "\n  ") + "\n")
	return []byte(b.String())
}

// text is what a message says: a text as it was sent, and otherwise the JSON.
func (l *liveLook) text(f liveFrame) string {
	data, only := f.own["data"]
	var text string
	if len(f.own) == 1 && only && json.Unmarshal(data, &text) == nil {
		return printable(text)
	}
	if len(f.own) == 1 && only {
		return printable(string(data))
	}
	return printable(string(f.body))
}

// sender names who said something.
func (l *liveLook) sender(f liveFrame) string {
	if f.From == "" && f.User == "" {
		return l.paint(dim, "(over HTTP)")
	}
	return l.paint(cyan, l.name(member{f.From, f.User}))
}

// name is what a client is called: its user, or its id.
func (l *liveLook) name(p member) string {
	if p.User == "" {
		return sentence(p.ID)
	}
	return listedName(p.User)
}

// listedName is a name, in quotes if it could be taken for more.
func listedName(name string) string {
	if strings.ContainsAny(name, `:,;()[]"`) || name != strings.TrimSpace(name) {
		return `"` + sentence(name) + `"`
	}
	return sentence(name)
}

// A member is a client in a topic of live.
type member struct {
	ID   string
	User string
}

// A greeting is what _hello says.
type greeting struct {
	member
	Missed bool
	Count  int
	Here   []member
}

// An arrival is what _join and _leave say.
type arrival struct {
	member
	Same int
	Why  string
}

// A liveFrame is a text message of a server of live. docs/wire.md has them all.
type liveFrame struct {
	Hello       *greeting
	Ready       bool
	Join, Leave *arrival
	Error       *struct{ Name, Text string }
	Key         *string
	Drop, Me    bool
	To          json.RawMessage
	Topic       string
	User, From  string
	Now         int64

	own  map[string]json.RawMessage // the members that are the sender's
	body []byte                     // an object of those, as they were sent
}

// readLive reads a text message. Members of the server's have exact names, and
// the server lets no client send them.
func readLive(data []byte) (f liveFrame, ok bool) {
	in := json.NewDecoder(bytes.NewReader(data))
	if brace, err := in.Token(); err != nil || brace != json.Delim('{') {
		return f, false
	}
	into := map[string]any{
		"_hello": &f.Hello, "_ready": &f.Ready, "_join": &f.Join, "_leave": &f.Leave, "_error": &f.Error,
		"_key": &f.Key, "_drop": &f.Drop, "_to": &f.To,
		"_topic": &f.Topic, "_user": &f.User, "_from": &f.From, "_now": &f.Now, "_me": &f.Me,
		"_tied": nil, "_own": nil, "_keep": nil, "_id": nil, "_offset": nil,
	}
	f.own = make(map[string]json.RawMessage)
	var body [][]byte
	for in.More() {
		begin := in.InputOffset()
		name, err := in.Token()
		var value json.RawMessage
		if err != nil || in.Decode(&value) != nil {
			return f, false
		}
		target, stamp := into[name.(string)]
		switch {
		case stamp && target != nil:
			if json.Unmarshal(value, target) != nil {
				return f, false
			}
		case !stamp:
			f.own[name.(string)] = value
			body = append(body, bytes.TrimLeft(data[begin:in.InputOffset()], ", \t\r\n"))
		}
	}
	f.body = slices.Concat([]byte("{"), bytes.Join(body, []byte(",")), []byte("}"))
	_, err := in.Token()
	return f, err == nil
}
