package app

import "crier/stamp"

// Broadcast is the app at /. Every message goes to all connected clients, the
// sender included. It is stamped with the time, and with whether the receiver
// is its sender.
//
//	hi there  →  {"data":"hi there","_now":1561016329388,"_me":true}    to the sender
//	             {"data":"hi there","_now":1561016329388,"_me":false}   to the others
//
// With ?topic=a, which may be repeated, a connection sends to and receives from
// these topics only. With more than 64 topics it can only receive. ?echo=0
// leaves out the sender's own copy. Binary messages are relayed unchanged.
type Broadcast struct{}

// Handle implements App.
func (Broadcast) Handle(dst []Effect, ev Event) []Effect {
	switch ev.Kind {
	case Connect:
		return joinRooms(dst, ev)
	case Message:
		return say(dst, ev)
	}
	return dst
}

func joinRooms(dst []Effect, ev Event) []Effect {
	if wrong := misspelt(ev.Query, "topic", "topicName", "echo"); wrong != "" {
		return reject(dst, wrong)
	}
	rooms, wrong := queryTopics(ev.Query)
	if wrong != "" {
		return reject(dst, wrong)
	}
	if len(rooms) == 0 {
		rooms = []string{Everyone}
	}
	ev.Conn.Silent = ev.Query.Get("echo") == "0"
	for _, room := range rooms {
		dst = subscribe(dst, room)
	}
	return dst
}

// tooFar is the reason for refusing a message that would go to too many topics.
const tooFar = "a message goes to at most 64 topics"

func say(dst []Effect, ev Event) []Effect {
	if len(ev.Conn.Topics) > MaxReach {
		return reject(dst, tooFar)
	}
	dst, e := add(dst, Publish)
	if ev.Binary {
		e.Data, e.Binary = ev.Data, true
	} else {
		e.stamp(stamp.Stamp{Now: ev.Now}, ev.Data)
	}
	if ev.Conn.Silent {
		e.Echo = EchoNone
	}
	return dst
}

// stamp makes the two copies of a publish from what the client sent.
func (e *Effect) stamp(s stamp.Stamp, data []byte) {
	others, me := s.Append(e.buf, data)
	n := len(others)
	e.buf = stamp.AppendMine(others, others, me)
	e.Data, e.Copy, e.Echo = e.buf[:n:n], e.buf[n:], EchoCopy
}
