package app

import "crier/stamp"

// Bridge is the app at /bridge. It delivers messages to topics byte for byte.
//
// A connection names its topic when it connects, ?topicName=Something. A JSON
// object with a string topic,
//
//	{"topic":"Something","message":"Some Data"}
//
// is sent unchanged to every connection of that topic. The sender need not be
// one of them.
type Bridge struct{}

// Bridge's reasons for refusing a client or a message.
const (
	noTopicName = "the bridge needs a topic: append ?topicName=Something to the address"
	noTopic     = `no topic: send a JSON object such as {"topic":"Something","message":"Some Data"}`
)

// Handle implements App.
func (Bridge) Handle(dst []Effect, ev Event) []Effect {
	switch ev.Kind {
	case Connect:
		if wrong := misspelt(ev.Query, "topicName", "topic"); wrong != "" {
			return reject(dst, wrong)
		}
		topics, wrong := queryTopics(ev.Query)
		if wrong == "" && len(topics) == 0 {
			wrong = noTopicName
		}
		if wrong != "" {
			return reject(dst, wrong)
		}
		for _, topic := range topics {
			dst = subscribe(dst, topic)
		}
	case Message:
		var values [1][]byte
		if ev.Binary || !stamp.Object(ev.Data, bridgeMembers, values[:]) {
			return reject(dst, noTopic)
		}
		topic, ok := stamp.String(values[0])
		if !ok || topic == "" {
			return reject(dst, noTopic)
		}
		var e *Effect
		dst, e = add(dst, Publish)
		e.to(topic)
		e.Data = ev.Data
	}
	return dst
}

var bridgeMembers = []string{"topic"}
