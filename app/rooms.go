package app

import (
	"strconv"

	"crier/stamp"
)

// Rooms is the app at /rooms. A connection can subscribe to topics and
// unsubscribe at any time.
//
//	{"action":"subscribe","topic":"t1"}                  →  {"action":"subscribe","topic":"t1","ok":true}
//	{"action":"broadcast","topic":"t1","payload":{"x":1}} →  {"x":1,"_topic":"t1","_now":…,"_me":…}   to the topic
//	                                                        {"action":"broadcast","ok":true}
//	{"action":"unsubscribe","topic":"t1"}                →  {"action":"unsubscribe","ok":true}
//
// Users give their names with ?user= or the header X-WhoAmI. Subscriptions
// belong to the connection.
type Rooms struct{}

// The answers of the recorded service to messages that it could not use. Its
// statusCode was 500.
const (
	hello         = "Hi, there!"
	noRoom        = `{"statusCode":500,"body":"No topic"}`
	noData        = `{"statusCode":500,"body":"No data"}`
	nameTooLong   = `{"statusCode":500,"body":"A topic's name has at most 256 bytes"}`
	tooManyTopics = `{"statusCode":500,"body":"A connection is in at most 1024 topics"}`
)

// Handle implements App.
func (Rooms) Handle(dst []Effect, ev Event) []Effect {
	switch ev.Kind {
	case Connect:
		if wrong := misspelt(ev.Query, "user"); wrong != "" {
			return reject(dst, wrong)
		}
	case Message:
		return act(dst, ev)
	}
	return dst
}

var roomsMembers = []string{"action", "topic", "payload"}

func act(dst []Effect, ev Event) []Effect {
	var values [3][]byte
	if ev.Binary || !stamp.Object(ev.Data, roomsMembers, values[:]) {
		return post(dst, hello)
	}
	action, _ := stamp.String(values[0])
	topic, payload := values[1], values[2]
	switch action {
	case "subscribe":
		return enter(dst, ev, topic)
	case "unsubscribe":
		return leave(dst, topic)
	case "broadcast":
		return tell(dst, ev, topic, payload)
	}
	return post(dst, hello)
}

func enter(dst []Effect, ev Event, topic []byte) []Effect {
	if falsy(topic) {
		return post(dst, noRoom)
	}
	name := text(topic)
	member := has(ev.Conn.Topics, name)
	if len(name) > MaxName {
		return post(dst, nameTooLong)
	}
	if !member && len(ev.Conn.Topics) >= MaxTopics {
		return post(dst, tooManyTopics)
	}
	if !member {
		dst = subscribe(dst, name)
	}
	dst, e := add(dst, Post)
	e.buf = append(e.buf, `{"action":"subscribe","topic":`...)
	e.buf = append(e.buf, topic...)
	e.buf = append(e.buf, `,"ok":true}`...)
	e.Data = e.buf
	return dst
}

func leave(dst []Effect, topic []byte) []Effect {
	if falsy(topic) {
		return post(dst, noRoom)
	}
	dst, e := add(dst, Unsubscribe)
	e.Topic = text(topic)
	return post(dst, `{"action":"unsubscribe","ok":true}`)
}

func tell(dst []Effect, ev Event, topic, payload []byte) []Effect {
	if falsy(topic) || falsy(payload) {
		return post(dst, noData)
	}
	name := text(topic)
	if len(name) > MaxName {
		return post(dst, nameTooLong)
	}
	dst, e := add(dst, Publish)
	e.to(name)
	e.stamp(stamp.Stamp{Now: ev.Now, Topic: name, Name: "payload"}, payload)
	return post(dst, `{"action":"broadcast","ok":true}`)
}

// text returns a JSON value as the name of a topic: the characters of a string,
// and any other value as it is written.
func text(raw []byte) string {
	if s, ok := stamp.String(raw); ok {
		return s
	}
	return string(raw)
}

// falsy reports whether the value is false in JavaScript, in which the recorded
// service is written.
func falsy(raw []byte) bool {
	switch string(raw) {
	case "", "null", "false", `""`:
		return true
	}
	if c := raw[0]; c != '-' && (c < '0' || c > '9') {
		return false
	}
	n, _ := strconv.ParseFloat(string(raw), 64)
	return n == 0
}
