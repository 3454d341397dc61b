package app

import (
	"net/url"
	"slices"
	"strconv"
	"unicode/utf8"

	"crier/stamp"
)

// Live holds the rules of the app at /live: broadcast with a memory, and with
// faces.
//
//	{"x":3}  →  {"x":3,"_topic":"a","_user":"ada","_from":I,"_offset":O,"_now":N,"_me":false}
//
// A client joins topics and is told who is there, what has been said, and the
// topic's state. Its home keeps these. Live reads what a client asks for, with
// its address ([Live.Address]) and with each message ([Live.Message]), and
// writes the frames that everyone gets. docs/wire.md describes them all.
type Live struct{}

// Limits of live, in addition to those of other apps.
const (
	MaxEntries = 64  // topics of one connection of live
	MaxUser    = 64  // bytes of a user's name
	MaxKey     = 128 // bytes of a key
	MaxTied    = 64  // tied keys of one connection
	MaxTo      = 64  // names in one _to
)

// OffsetSize is the length of an offset in bytes.
const OffsetSize = 15

// An Address is what a client asks for when it connects.
type Address struct {
	Entries []Entry // at least one, each with another topic
	Since   string  // the offset after which the client wants to begin in all topics; empty if there is none
	Resume  string  // the token of the session that should go on; may be empty
	Seen    bool    // the others see the client
	Told    bool    // the client is told who comes and goes
	Silent  bool    // the client does not want its own messages
}

// An Entry is a topic that a client wants to be in, and where it wants to begin.
type Entry struct {
	Topic string
	Since string // after this offset; if it is empty, Last says where
	Last  int    // with the last messages
}

// Address reads the query of a connection. If something is wrong with it,
// Address returns a sentence. user says whether the client has a name.
func (Live) Address(query url.Values, user bool) (a Address, wrong string) {
	if wrong := misspelt(query, "topic", "user", "last", "since", "resume", "presence", "echo", "token"); wrong != "" {
		return a, wrong
	}
	last := 0
	if query.Has("last") {
		n, err := strconv.ParseUint(query.Get("last"), 10, 31)
		if err != nil {
			return a, "last is a number of messages, such as ?last=20"
		}
		last = int(n)
	}
	switch presence := query.Get("presence"); {
	case presence == "1", presence == "" && user:
		a.Seen, a.Told = true, true
	case presence == "seen":
		a.Seen = true
	case presence == "told":
		a.Told = true
	case presence != "0" && presence != "":
		return a, "presence is 1, seen, told or 0"
	}
	a.Resume = query.Get("resume")
	a.Silent = query.Get("echo") == "0"
	if len(query["since"]) == 1 {
		a.Since = query.Get("since")
	}
	a.Entries, wrong = entries(query["topic"], query["since"], last)
	return a, wrong
}

// entries returns what a connection's query asks for: since is one offset for
// all topics, or one for each.
func entries(topics, since []string, last int) (list []Entry, wrong string) {
	if len(since) > 1 && len(since) != len(topics) {
		return nil, "since is one offset for all topics, or one for each of them, in their order"
	}
	for i, topic := range topics {
		switch {
		case topic == "":
			return nil, noLiveTopic
		case wrongTopic(topic) != "":
			return nil, wrongTopic(topic)
		case slices.ContainsFunc(list, func(e Entry) bool { return e.Topic == topic }):
			continue
		case len(list) == MaxEntries:
			return nil, manyTopics
		}
		e := Entry{Topic: topic, Last: last}
		switch len(since) {
		case 0:
		case 1:
			e.Since = since[0]
		default:
			e.Since = since[i]
		}
		list = append(list, e)
	}
	if len(list) == 0 {
		return nil, noLiveTopic
	}
	return list, ""
}

// Live's reasons for refusing a client or a message.
const (
	noLiveTopic = "live needs a topic: append ?topic=something to the address"
	manyTopics  = "a connection is in at most 64 topics"
)

// The names of errors, besides nobody, too-many-keys and state-full, which only
// the home can notice.
const (
	badMember  = "bad-member"
	notInTopic = "not-in-topic"
	noUser     = "no-user"
	forbidden  = "forbidden"
)

// A Doing is what a client asks for with one message.
type Doing uint8

const (
	Refuse Doing = iota // nothing: Frame is the error frame for the sender
	Say                 // to publish Frame to Topic
	Tell                // to send Frame to those of To who are in Topic, and to the sender
	Enter               // to join the topic of Entry
	Exit                // to leave Topic
)

// An Order is what a client asks for with one message. Its slices are valid
// until it is used again.
type Order struct {
	Do     Doing
	Topic  string
	Entry  Entry
	To     []string
	toList bool // To was a list, not a single name
	Binary bool

	// Frame is what the others get, Copy what the sender gets. OffsetAt and
	// CopyOffsetAt are where in them the message's offset belongs, OffsetSize
	// bytes; zero if it has none.
	Frame, Copy            []byte
	OffsetAt, CopyOffsetAt int

	Keep bool // it belongs to the topic's history
	Key  Key  // the state that it sets; the zero Key if it is none
	Drop bool // it drops that state

	id         []byte // the client's _id; nil if there is none
	name, text string // of Refuse
	buf        []byte
	now        int64
}

// The members that live understands, and those that only the server may write.
// A message's are cut out, and written anew at its end.
const (
	mKey = iota
	mTied
	mOwn
	mDrop
	mKeep
	mTo
	mID
	mTopic
	mJoin
	mLeave
	mUser
	numMembers = mUser + 8
)

var liveMembers = []string{
	"_key", "_tied", "_own", "_drop", "_keep", "_to", "_id", "_topic", "_join", "_leave",
	"_user", "_from", "_offset", "_now", "_me", "_hello", "_ready", "_error",
}

// once are the members that a message may not have twice.
const once = 1<<mKey | 1<<mTo | 1<<mTopic | 1<<mJoin | 1<<mLeave

// Message reads a message of a client, and says in o what it asks for.
func (Live) Message(o *Order, ev Event) {
	*o = Order{buf: o.buf[:0], To: o.To[:0], now: ev.Now}
	if ev.Binary {
		o.binary(ev)
		return
	}
	var values [numMembers][]byte
	text, members, twice := stamp.Open(o.buf, ev.Data, liveMembers, values[:])
	o.buf, o.id = text, values[mID]
	if twice&once != 0 {
		o.refuse(badMember, liveMembers[firstBit(twice&once)]+" may not be there twice")
		return
	}
	if values[mJoin] != nil {
		o.join(ev, values[mJoin])
		return
	}
	if values[mLeave] != nil {
		o.leave(ev, values[mLeave])
		return
	}
	if o.read(ev, &values) {
		o.write(ev, len(text), members)
	}
}

// Set reads a text that is to be the value of a key, and says so in o. With drop
// the key is dropped, and the text is ignored.
func (Live) Set(o *Order, ev Event, key string, drop bool) {
	*o = Order{buf: o.buf[:0], To: o.To[:0], now: ev.Now, Topic: ev.Conn.Topics[0]}
	if drop {
		ev.Data = []byte("{}")
	}
	var values [numMembers][]byte
	text, members, _ := stamp.Open(o.buf, ev.Data, liveMembers, values[:])
	o.buf = text
	for i, value := range values[:mUser] {
		if value != nil && i != mID {
			o.refuse(badMember, "a value has no member "+liveMembers[i]+": the address says it all")
			return
		}
	}
	if key == "" || len(key) > MaxKey || !utf8.ValidString(key) {
		o.refuse(badMember, "a key has 1 to 128 bytes of UTF-8")
		return
	}
	o.Do, o.Key, o.Drop = Say, Key{Name: key}, drop
	o.write(ev, len(text), members)
}

func firstBit(set uint64) (i int) {
	for set>>i&1 == 0 {
		i++
	}
	return i
}

// binary is Message for a binary message.
func (o *Order) binary(ev Event) {
	if len(ev.Conn.Topics) != 1 {
		o.refuse(badMember, "a binary message names no topic, so its sender must be in one topic only")
		return
	}
	o.Do, o.Topic, o.Binary = Say, ev.Conn.Topics[0], true
	o.Frame, o.Copy = ev.Data, ev.Data
}

// leave reads a message with the member _leave.
func (o *Order) leave(ev Event, value []byte) {
	topic, ok := stamp.String(value)
	switch {
	case !ok:
		o.refuse(badMember, "_leave is the name of a topic")
	case !has(ev.Conn.Topics, topic):
		o.refuse(notInTopic, "only a topic that you are in can be left")
	default:
		o.Do, o.Topic = Exit, topic
	}
}

var joinMembers = []string{"_last", "_since"}

// join reads a message with the member _join.
func (o *Order) join(ev Event, value []byte) {
	topic, ok := stamp.String(value)
	switch {
	case !ok || topic == "":
		o.refuse(badMember, "_join is the name of a topic")
		return
	case len(topic) > MaxName:
		o.refuse(badMember, longTopic)
		return
	case !has(ev.Conn.Topics, topic) && len(ev.Conn.Topics) >= MaxEntries:
		o.refuse(badMember, manyTopics)
		return
	}
	var values [2][]byte
	stamp.Object(ev.Data, joinMembers, values[:])
	e := Entry{Topic: topic}
	if values[0] != nil {
		n, err := strconv.ParseUint(string(values[0]), 10, 31)
		if err != nil {
			o.refuse(badMember, "_last is a number of messages")
			return
		}
		e.Last = int(n)
	}
	if values[1] != nil {
		if e.Since, ok = stamp.String(values[1]); !ok {
			o.refuse(badMember, "_since is an offset, a string")
			return
		}
	}
	o.Do, o.Topic, o.Entry = Enter, topic, e
}

// read reads the members of a message that is to be published. If something is
// wrong with them, it refuses the message and returns false.
func (o *Order) read(ev Event, values *[numMembers][]byte) bool {
	o.Do, o.Keep = Say, true
	if name, wrong := o.readTopic(ev, values[mTopic]); wrong != "" {
		o.refuse(name, wrong)
		return false
	}
	var tied, own, keep bool
	for _, flag := range [...]struct {
		member int
		to     *bool
		unless bool
	}{{mTied, &tied, false}, {mOwn, &own, false}, {mDrop, &o.Drop, false}, {mKeep, &keep, true}} {
		switch value := string(values[flag.member]); value {
		case "":
			*flag.to = flag.unless
		case "true", "false":
			*flag.to = value == "true"
		default:
			o.refuse(badMember, liveMembers[flag.member]+" is true or false")
			return false
		}
	}
	name, wrong := "", ""
	switch state := values[mKey] != nil; {
	case state:
		name, wrong = o.readKey(values)
		if wrong == "" && !keep {
			wrong = "what has a _key is kept: _keep cannot be false"
		}
	case tied || own || o.Drop:
		wrong = "_tied, _own and _drop need a _key"
	}
	if wrong == "" && tied && own {
		wrong = "state is _tied or _own, not both"
	}
	if wrong == "" && values[mTo] != nil {
		wrong = o.readTo(values[mTo])
	}
	switch {
	case wrong != "":
		o.refuse(badMember, wrong)
		return false
	case own && ev.Conn.Identity.User == "":
		o.refuse(noUser, "only a user can own state: connect with ?user=")
		return false
	}
	if name != "" {
		o.Key = Key{Name: name}
		switch {
		case tied:
			o.Key.Of, o.Key.By = Tied, ev.Conn.ID
		case own:
			o.Key.Of, o.Key.By = Owned, ev.Conn.Identity.User
		}
	}
	o.Keep = keep && name == "" && o.Do == Say
	return true
}

// readTopic reads the topic of a message. Without the member it is the first of
// the client's.
func (o *Order) readTopic(ev Event, value []byte) (name, wrong string) {
	topics := ev.Conn.Topics
	topic, ok := stamp.String(value)
	switch {
	case value == nil && len(topics) == 0:
		return notInTopic, "you are in no topic"
	case value == nil:
		o.Topic = topics[0]
		return "", ""
	case !ok:
		return badMember, "_topic is a text"
	case !has(topics, topic):
		return notInTopic, "_topic is one of the topics that you are in"
	}
	o.Topic = topic
	return "", ""
}

func (o *Order) readKey(values *[numMembers][]byte) (name, wrong string) {
	name, ok := stamp.String(values[mKey])
	switch {
	case !ok || name == "":
		return "", "_key is a text"
	case len(name) > MaxKey:
		return "", "a _key has at most 128 bytes"
	case values[mTo] != nil:
		return "", "state is for everyone: _key and _to do not go together"
	}
	return name, ""
}

// readTo reads the names that a message is for.
func (o *Order) readTo(value []byte) (wrong string) {
	const usage = "_to is a connection id, a user, or a list of at most 64 of them"
	o.Do = Tell
	if name, ok := stamp.String(value); ok {
		o.To = append(o.To, name)
		return ""
	}
	names, ok := stamp.Strings(value, MaxTo)
	if !ok || len(names) == 0 {
		return usage
	}
	o.To, o.toList = append(o.To, names...), true
	return ""
}

// Clone returns a copy that shares no memory with o, except that of strings.
func (o *Order) Clone() *Order {
	c := *o
	c.To, c.id = slices.Clone(o.To), slices.Clone(o.id)
	c.Frame, c.Copy, c.buf = slices.Clone(o.Frame), slices.Clone(o.Copy), nil
	return &c
}

// refuse makes o an error for the sender.
func (o *Order) refuse(name, text string) {
	o.Do, o.name, o.text = Refuse, name, text
	o.Frame = AppendError(nil, name, text, o.id, o.now)
}

// Why returns the name and the sentence of a refused order.
func (o *Order) Why() (name, text string) { return o.name, o.text }

// Refuse makes the order of a message that the home cannot carry out an error
// for its sender.
func (o *Order) Refuse(name, text string) { o.refuse(name, text) }
