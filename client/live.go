package client

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"crier/stamp"
)

// Live are the options of a client of the app live. The zero value is ready to
// use.
type Live struct {
	// Last is how many messages of each topic's history to begin with.
	Last int
	// Presence says whether others see this client, and whether it is told
	// about them: "1", "seen", "told" or "0". If it is empty, a client with a
	// user is seen and told, and one without is neither.
	Presence string
	// Address, if not nil, is asked for the address before each connection. It
	// replaces the address given to Connect. Topics in it count until the first
	// connection: from then on, the client knows which topics it is in.
	Address func(context.Context) (string, error)
}

// A Kind says what a message of live is.
type Kind int

const (
	Said   Kind = iota // a client has sent it
	Joined             // From has joined Topic
	Left               // From has left Topic; with the client's own id, the client has
	Hello              // the greeting of Topic: a replay follows
	Ready              // the replay of Topic is over
	Failed             // the server refused a message of the client's own
)

var kindNames = [...]string{"said", "joined", "left", "hello", "ready", "failed"}

// String returns a kind's name, such as "joined".
func (k Kind) String() string { return kindNames[k] }

// A Scope says whose a piece of state is.
type Scope int

const (
	Shared Scope = iota // everybody's, until somebody replaces or drops it
	Tied                // a session's, and dropped when that ends
	Owned               // a user's: nobody else can replace it
)

// A Key names a piece of state in a topic. The same name in another scope, or
// of another session or user, is another key.
type Key struct {
	Name  string
	Scope Scope
	Of    string // Tied: the session's id; Owned: the user
}

// A Member is a client in a topic.
type Member struct {
	ID   string
	User string // may be empty
}

// ID returns the connection id that the server has given a client of live. It
// stays the same over reconnections for as long as the session lives. It is
// empty before the first connection.
func (c *Client) ID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session.id
}

// User returns the name under which the server knows a client of live. It is
// empty before the first connection, and if there is none.
func (c *Client) User() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session.user
}

// Topic returns a topic of a client of live, whether or not the client is in
// it. An empty name stands for the first topic that the client is in.
func (c *Client) Topic(name string) Topic { return Topic{c, name} }

// A Topic is a topic as a client of live sees it, until the last frame that the
// client has read. What Messages yields may be older.
type Topic struct {
	client *Client
	name   string
}

// Here returns the clients that are in the topic and seen, oldest first. The
// server lists at most the first 1,000 of them. A client whose presence is "0"
// or "seen" has the list of the last greeting.
func (t Topic) Here() (members []Member) {
	t.look(func(r *room) { members = slices.Clone(r.here) })
	return members
}

// State returns the topic's state: the last message of each key. Data must not
// be changed.
func (t Topic) State() (state map[Key]Message) {
	t.look(func(r *room) { state = maps.Clone(r.state) })
	return state
}

// look calls f with the topic, if the client is in it.
func (t Topic) look(f func(*room)) {
	t.client.mu.Lock()
	defer t.client.mu.Unlock()
	s := &t.client.session
	if r := s.room(t.name); r != nil {
		f(r)
	} else if t.name == "" && len(s.rooms) > 0 {
		f(s.rooms[0])
	}
}

// Send is like [Client.Send], and sends text to the topic. An object must not
// have the members that Send and the other methods of Topic add.
func (t Topic) Send(text string) <-chan Fate { return t.send(text, "") }

// SendTo sends text to some clients in the topic only. Whom are connection ids
// and users, at most 64.
func (t Topic) SendTo(text string, whom ...string) <-chan Fate {
	names := make([]string, len(whom))
	for i, name := range whom {
		names[i] = quote(name)
	}
	return t.send(text, `"_to":[`+strings.Join(names, ",")+`]`)
}

// Set makes text the state of a key. Others receive it like any message, and
// clients that join later receive it, too.
func (t Topic) Set(key, text string, scope Scope) <-chan Fate {
	return t.send(text, `"_key":`+quote(key)+scope.member())
}

// Unset drops the state of a key.
func (t Topic) Unset(key string, scope Scope) <-chan Fate {
	return t.send("{}", `"_key":`+quote(key)+scope.member()+`,"_drop":true`)
}

func (s Scope) member() string { return [...]string{"", `,"_tied":true`, `,"_own":true`}[s] }

// Join joins the topic without reconnecting, and begins with the last messages
// of its history.
func (t Topic) Join(last int) <-chan Fate {
	return t.client.Send(fmt.Sprintf(`{"_join":%s,"_last":%d}`, quote(t.name), last))
}

// Leave leaves the topic. A client that reconnects after it has left all topics
// is in those of its address again.
func (t Topic) Leave() <-chan Fate {
	return t.client.Send(`{"_leave":` + quote(t.name) + `}`)
}

// send sends text to the topic, with more members.
func (t Topic) send(text, members string) <-chan Fate {
	if t.name != "" {
		members = strings.TrimPrefix(members+`,"_topic":`+quote(t.name), ",")
	}
	if members == "" {
		return t.client.Send(text)
	}
	return t.client.send(withMembers([]byte(text), members), false)
}

func quote(s string) string { return string(stamp.AppendString(nil, s)) }

// The members of a frame of live that the client reads.
const (
	nameHello = iota
	nameReady
	nameJoin
	nameLeave
	nameError
	nameKey
	nameTied
	nameOwn
	nameDrop
	nameTopic
	nameUser
	nameFrom
	nameOffset
	nameMe
	numNames
)

var frameNames = []string{"_hello", "_ready", "_join", "_leave", "_error", "_key", "_tied", "_own", "_drop", "_topic", "_user", "_from", "_offset", "_me"}

// A frame is a text message from a server of live.
type frame struct {
	Message
	offset string
	hello  greeting // of Hello
	why    string   // of Failed: the name of the error, and a sentence
}

// A greeting is what _hello says.
type greeting struct {
	ID, User, Resume, Offset string
	Missed                   bool
	Said                     uint64
	Here                     []Member
}

// readFrame reads what a server of live sends.
func readFrame(data []byte) frame {
	var raw [numNames][]byte
	stamp.Object(data, frameNames, raw[:])
	text := func(name int) string { s, _ := stamp.String(raw[name]); return s }
	is := func(name int) bool { return string(raw[name]) == "true" }
	f := frame{offset: text(nameOffset), Message: Message{Data: slices.Clone(data), Topic: text(nameTopic), From: text(nameFrom), User: text(nameUser), Mine: is(nameMe)}}
	person := func(kind Kind, name int) {
		var m Member
		json.Unmarshal(raw[name], &m)
		f.Kind, f.From, f.User = kind, m.ID, m.User
	}
	switch {
	case raw[nameHello] != nil:
		f.Kind = Hello
		json.Unmarshal(raw[nameHello], &f.hello)
	case raw[nameReady] != nil:
		f.Kind = Ready
	case raw[nameJoin] != nil:
		person(Joined, nameJoin)
	case raw[nameLeave] != nil:
		person(Left, nameLeave)
	case raw[nameError] != nil:
		f.Kind = Failed
		var e struct{ Name, Text string }
		json.Unmarshal(raw[nameError], &e)
		f.why = e.Name + ": " + e.Text
	case raw[nameKey] != nil:
		f.Dropped = is(nameDrop)
		switch f.Key.Name = text(nameKey); {
		case is(nameTied):
			f.Key.Scope, f.Key.Of = Tied, f.From
		case is(nameOwn):
			f.Key.Scope, f.Key.Of = Owned, f.User
		}
	}
	return f
}
