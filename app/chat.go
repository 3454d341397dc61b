package app

import "crier/stamp"

// Chat is the app at /chat: the chat of API Gateway's tutorial, including its
// route selection by the member action.
//
//	{"action":"sendMessage","data":"hello"}  →  hello   to everyone, the sender included
//
// If data is not a string, its JSON is sent. Any other message has no route,
// and there is no $default route for it. Its sender gets the gateway's
// Forbidden frame.
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
