package app

import "crier/stamp"

// Chat is the app at /chat: the chat of API Gateway's tutorial, route selection by the member action included.
//
//	{"action":"sendMessage","data":"hello"}  →  hello   to everyone, the sender included
//
// data that is not a string is sent as its JSON. Any other message has no route, and no $default route
// catches it: it gets the gateway's Forbidden frame.
type Chat struct{}

// Handle implements App.
func (Chat) Handle(dst []Effect, ev Event) []Effect {
	switch ev.Kind {
	case Connect:
		return subscribe(dst, Everyone)
	case Message:
		return sendMessage(dst, ev)
	}
	return dst
}

var chatMembers = []string{"action", "data"}

func sendMessage(dst []Effect, ev Event) []Effect {
	var values [2][]byte
	if ev.Binary || !stamp.Object(ev.Data, chatMembers, values[:]) {
		return reject(dst, "Forbidden")
	}
	action, _ := stamp.String(values[0])
	data := values[1]
	if action != "sendMessage" || data == nil {
		return reject(dst, "Forbidden")
	}
	dst, e := add(dst, Publish)
	e.to(Everyone)
	e.Data = data
	if text, ok := stamp.String(data); ok {
		e.buf = append(e.buf, text...)
		e.Data = e.buf
	}
	return dst
}
