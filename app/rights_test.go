package app

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// fixed are rights to certain topics; * is everyone.
type fixed struct{ hear, say string }

func (f fixed) MayHear(topic string) bool { return in(f.hear, topic) }
func (f fixed) MaySay(topic string) bool  { return in(f.say, topic) }

func in(list, topic string) bool {
	if topic == Everyone {
		topic = "*"
	}
	return slices.Contains(strings.Fields(list), topic)
}

func brief(effects []Effect) string {
	names := map[Action]string{Publish: "publish", Subscribe: "subscribe", Unsubscribe: "unsubscribe", Post: "post",
		PostMembers: "members", Reject: "reject", Forbid: "forbid", Mute: "mute"}
	var list []string
	for _, e := range effects {
		text := names[e.Do]
		switch e.Do {
		case Subscribe, Unsubscribe, Mute, PostMembers:
			text += fmt.Sprintf(" %q", e.Topic)
		case Publish:
			if e.Topics != nil {
				text += fmt.Sprintf(" %q", e.Topics)
			}
		case Reject, Forbid:
			text += " " + string(e.Data)
		}
		list = append(list, text)
	}
	return strings.Join(list, ", ")
}

const (
	noEveryone = "you may not hear what everyone does; name a topic"
	notToAll   = "you may not say anything to everyone; name a topic"
)

// TestRestrictedConnect: what may not be heard is not subscribed to.
func TestRestrictedConnect(t *testing.T) {
	for _, c := range []struct {
		app    App
		query  string
		rights fixed
		want   string
	}{
		{Broadcast{}, "topic=a&topic=b", fixed{hear: "a b"}, `subscribe "a", subscribe "b"`},
		{Broadcast{}, "topic=a&topic=b", fixed{hear: "a", say: "b"}, `subscribe "a", mute "b"`},
		{Broadcast{}, "topic=a&topic=b", fixed{hear: "a"}, `forbid you may not hear the topic "b"`},
		{Broadcast{}, "", fixed{hear: "a", say: "a"}, "forbid " + noEveryone},
		{Broadcast{}, "topc=a", fixed{}, `reject there is no parameter "topc"; did you mean topic?`},
		{Bridge{}, "topicName=a", fixed{say: "a"}, `mute "a"`},
		{Chat{}, "", fixed{hear: "a"}, "forbid " + noEveryone},
		{Directory{}, "", fixed{hear: "a", say: "a"}, "forbid " + noEveryone},
		{Rooms{}, "user=ada", fixed{}, ""},
	} {
		query, _ := url.ParseQuery(c.query)
		ev := Event{Kind: Connect, Conn: &Conn{ID: "i"}, Query: query}
		if got := brief(Restrict(c.app.Handle(nil, ev), ev, c.rights)); got != c.want && !strings.HasPrefix(c.want, "reject") {
			t.Errorf("%T with %q and %+v: %s, want %s", c.app, c.query, c.rights, got, c.want)
		} else if strings.HasPrefix(c.want, "reject") && !strings.HasPrefix(got, "reject") {
			t.Errorf("%T with %q: %s", c.app, c.query, got)
		}
	}
}

// TestRestrictedMessages: what may not be said is refused, and nothing of it happens.
func TestRestrictedMessages(t *testing.T) {
	for _, c := range []struct {
		app          App
		topics, mute []string
		text         string
		rights       fixed
		want         string
	}{
		{Broadcast{}, []string{"a"}, nil, "hi", fixed{say: "a"}, "publish"},
		{Broadcast{}, []string{"a", "b"}, nil, "hi", fixed{say: "a"}, `forbid you may not say anything in the topic "b"`},
		{Broadcast{}, []string{""}, nil, "hi", fixed{say: "a"}, "forbid " + notToAll},
		{Broadcast{}, nil, []string{"a"}, "hi", fixed{say: "a"}, `publish ["a"]`},
		{Broadcast{}, []string{"b"}, []string{"a"}, "hi", fixed{say: "a b"}, `publish ["b" "a"]`},
		{Broadcast{}, []string{"b"}, []string{"a"}, "hi", fixed{say: "a"}, `forbid you may not say anything in the topic "b"`},
		{Broadcast{}, []string{"b"}, slices.Repeat([]string{"a"}, MaxReach), "hi", fixed{say: "a b"}, "reject " + tooFar},
		{Bridge{}, []string{"a"}, nil, `{"topic":"a","message":"x"}`, fixed{hear: "a"}, `forbid you may not say anything in the topic "a"`},
		{Chat{}, []string{""}, nil, `{"action":"sendMessage","data":"x"}`, fixed{hear: "*"}, "forbid " + notToAll},
		{Directory{}, []string{""}, nil, "hi", fixed{hear: "*"}, `members ""`},
		{Directory{}, []string{""}, nil, "hi", fixed{hear: "a"}, "forbid " + noEveryone},
		{Rooms{}, nil, nil, `{"action":"subscribe","topic":"a"}`, fixed{hear: "a"}, `subscribe "a", post`},
		{Rooms{}, nil, nil, `{"action":"subscribe","topic":"a"}`, fixed{say: "a"}, `forbid you may not hear the topic "a"`},
		{Rooms{}, nil, nil, `{"action":"broadcast","topic":"a","payload":1}`, fixed{say: "a"}, `publish ["a"], post`},
		{Rooms{}, nil, nil, `{"action":"broadcast","topic":"a","payload":1}`, fixed{hear: "a"}, `forbid you may not say anything in the topic "a"`},
		{Rooms{}, []string{"a"}, nil, `{"action":"unsubscribe","topic":"a"}`, fixed{}, `unsubscribe "a", post`},
	} {
		ev := Event{Kind: Message, Conn: &Conn{ID: "i", Topics: c.topics, Mute: c.mute}, Data: []byte(c.text)}
		if got := brief(Restrict(c.app.Handle(nil, ev), ev, c.rights)); got != c.want {
			t.Errorf("%T in %q: %s with %+v: %s, want %s", c.app, c.topics, c.text, c.rights, got, c.want)
		}
	}
}

// TestRestrictedOrders: the same in live.
func TestRestrictedOrders(t *testing.T) {
	for _, c := range []struct {
		text   string
		rights fixed
		want   Doing
	}{
		{`{"x":1}`, fixed{say: "a"}, Say},
		{`{"x":1}`, fixed{hear: "a"}, Refuse},
		{`{"_key":"k","x":1}`, fixed{hear: "a"}, Refuse},
		{`{"_to":"ada","x":1}`, fixed{say: "a"}, Tell},
		{`{"_to":"ada","x":1}`, fixed{hear: "a"}, Refuse},
		{`{"_join":"b"}`, fixed{hear: "b"}, Enter},
		{`{"_join":"b"}`, fixed{say: "b"}, Refuse},
		{`{"_leave":"a"}`, fixed{}, Exit},
		{`{"_key":1}`, fixed{say: "a"}, Refuse},
	} {
		var o Order
		Live{}.Message(&o, Event{Kind: Message, Conn: &Conn{ID: "i", Topics: []string{"a"}}, Data: []byte(c.text)})
		o.Restrict(c.rights)
		if o.Do != c.want {
			t.Errorf("%s with %+v: %v, want %v", c.text, c.rights, o.Do, c.want)
		}
		if no := `"name":"forbidden"`; o.Do == Refuse && strings.Contains(string(o.Frame), no) == strings.Contains(c.text, `"_key":1`) {
			t.Errorf("%s: %s", c.text, o.Frame)
		}
	}
	a, _ := Live{}.Address(url.Values{"topic": {"a", "b"}}, false)
	if wrong := a.Unheard(fixed{hear: "a"}); wrong != `you may not hear the topic "b"` {
		t.Errorf("the address: %q", wrong)
	}
	if wrong := a.Unheard(fixed{hear: "a b"}); wrong != "" {
		t.Errorf("the address: %q", wrong)
	}
}
