package wiretest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
)

// mine and others are the copies of plain text.
func mine(text string) string   { return `{"data":"` + text + `","_now":<NOW>,"_me":true}` }
func others(text string) string { return `{"data":"` + text + `","_now":<NOW>,"_me":false}` }

func testTopics(t *testing.T, s server) {
	red, blue, odd := unique("red"), unique("blue"), unique("a b/c&é%")
	escaped := strings.NewReplacer(" ", "+", "/", "%2F", "&", "%26", "é", "%C3%A9", "%", "%25").Replace(odd)
	both := s.dial(t, "/?topic="+red+"&topic="+blue)
	onlyRed, onlyBlue := s.dial(t, "/?topicName="+red), s.dial(t, "/?topic=&topic="+blue)
	mixed := s.dial(t, "/?topicName="+red+"&topic="+blue+"&topic="+blue+"&topicName="+escaped)
	other := s.dial(t, "/?topic="+escaped)

	onlyRed.say("to red")
	onlyRed.hears("topicName is topic", mine("to red"))
	both.hears("?topic= may be repeated", others("to red"))
	mixed.hears("?topic= and ?topicName= together", others("to red"))
	onlyBlue.say("to blue")
	onlyBlue.hears("empty names are no topics", mine("to blue"))
	both.hears("its other topic", others("to blue"))
	mixed.hears("the same topic twice", others("to blue"))
	other.say("to odd")
	other.hears("a name may be anything", mine("to odd"))
	mixed.hears("a name may be anything", others("to odd"))

	onlyRed.say("red marker")
	onlyRed.hears("it heard nothing of the other topics", mine("red marker"))
	both.hears("it heard nothing of the third topic", others("red marker"))
	onlyBlue.hearsNothing("it heard nothing of the other topics")
	other.hearsNothing("it heard nothing of the other topics")
}

// testEveryone: who names no topic hears, and is heard by, all others who name none.
func testEveryone(t *testing.T, s server) {
	tag := unique("everyone")
	ann, bob, cat := s.dial(t, "/"), s.dial(t, "/?x=y"), s.dial(t, "/?topic=&topic=")
	room := s.dial(t, "/?topic="+tag)
	for _, c := range []*client{ann, bob, cat, room} {
		c.tag = tag
	}
	ann.say("hello " + tag)
	ann.hears("everyone includes the sender", mine("hello "+tag))
	bob.hears("everyone", others("hello "+tag))
	cat.hears("empty names are no topics", others("hello "+tag))
	room.say("marker " + tag)
	room.hears("who is in a room does not hear everyone", mine("marker "+tag))
	cat.say("marker " + tag)
	ann.hears("everyone does not hear a room", others("marker "+tag))
}

func testEchoOff(t *testing.T, s server) {
	room := unique("echo")
	quiet, loud := s.dial(t, "/?echo=0&topic="+room), s.dial(t, "/?echo=1&topic="+room)
	quiet.say("one", "two")
	loud.hears("others hear who asks for no echo", others("one"), others("two"))
	loud.say("three")
	loud.hears("only 0 turns the echo off", mine("three"))
	quiet.hears("it hears others, and not itself", others("three"))
	quiet.sayBinary("abc")
	loud.hears("binary, too", "binary 616263")
	loud.say("marker")
	quiet.hears("nor its own binary", others("marker"))
}

// testAppsAreApart: topics of one name in two apps are two topics.
func testAppsAreApart(t *testing.T, s server) {
	name := unique("shared")
	broadcast, bridge, rooms := s.dial(t, "/?topic="+name), s.dial(t, "/bridge?topicName="+name), s.dial(t, "/rooms")
	rooms.say(`{"action":"subscribe","topic":"` + name + `"}`)
	rooms.next()

	broadcast.say("from broadcast")
	broadcast.hears("its own app", mine("from broadcast"))
	message := `{"topic":"` + name + `","from":"bridge"}`
	bridge.say(message)
	bridge.hears("nothing from broadcast before", message)
	rooms.say(`{"action":"broadcast","topic":"` + name + `","payload":1}`)
	rooms.hears("nothing from broadcast and bridge before",
		`{"payload":1,"_topic":"`+name+`","_now":<NOW>,"_me":true}`, `{"action":"broadcast","ok":true}`)
	broadcast.say("marker")
	broadcast.hears("nothing from bridge and rooms before", mine("marker"))
	bridge.hearsNothing("nothing from rooms")

	everyone, chat := s.dial(t, "/"), s.dial(t, "/chat")
	everyone.tag, chat.tag = name, name
	everyone.say(name)
	everyone.hears("its own app", mine(name))
	chat.say(`{"action":"sendMessage","data":"` + name + `"}`)
	chat.hears("everyone is of one app only", name)
}

// testOnceThoughInTwoTopics: a message to two topics reaches a member of both once.
func testOnceThoughInTwoTopics(t *testing.T, s server) {
	a, b := unique("a"), unique("b")
	sender, both := s.dial(t, "/?topic="+a+"&topic="+b), s.dial(t, "/?topic="+b+"&topic="+a)
	onlyA, onlyB := s.dial(t, "/?topic="+a), s.dial(t, "/?topic="+b)
	for i := range 20 {
		text := fmt.Sprint("message ", i)
		sender.say(text)
		sender.hears("the sender, in both", mine(text))
		for _, c := range []*client{both, onlyA, onlyB} {
			c.hears("once", others(text))
		}
	}
	for _, c := range []*client{sender, both, onlyA, onlyB} {
		c.hearsNothing("never a duplicate")
	}
}

const (
	manySpeakers = 6
	manyMessages = 200
)

// testOneOrder: while many speak at once, all hear all of it in one order, each speaker's messages as it said them, and
// every speaker knows its own.
func testOneOrder(t *testing.T, s server) {
	room := "/?topic=" + unique("order")
	clients := make([]*client, manySpeakers+2) // the last two only listen
	for i := range clients {
		clients[i] = s.dial(t, room)
	}
	heard := make([][]string, len(clients))
	var all sync.WaitGroup
	for i, c := range clients {
		all.Go(func() {
			for range manySpeakers * manyMessages {
				message, err := c.read()
				if err != nil {
					t.Errorf("client %d, after %d messages: %v", i, len(heard[i]), err)
					return
				}
				heard[i] = append(heard[i], message)
			}
		})
		if i >= manySpeakers {
			continue
		}
		all.Go(func() {
			for k := range manyMessages {
				if err := c.write(websocket.MessageText, fmt.Sprint(i, " ", k)); err != nil {
					t.Errorf("client %d says number %d: %v", i, k, err)
					return
				}
			}
		})
	}
	all.Wait()
	if t.Failed() {
		return
	}
	for i, messages := range heard {
		checkOwn(t, i, messages)
		if !slices.Equal(messages, heard[0]) {
			t.Errorf("clients 0 and %d heard another order", i)
		}
	}
	clients[0].say("marker")
	for _, c := range clients[1:] {
		c.hears("nothing comes twice", others("marker"))
	}
}

// checkOwn checks that a client's own messages, and no others, are marked as such, and that each speaker's are complete
// and in order. It makes all copies look like others' to be compared.
func checkOwn(t *testing.T, client int, messages []string) {
	t.Helper()
	next := make([]int, manySpeakers)
	for i, m := range messages {
		m = timeless(m)
		var speaker, number int
		if _, err := fmt.Sscanf(m, `{"data":"%d %d"`, &speaker, &number); err != nil {
			t.Fatalf("client %d heard %s", client, m)
		}
		text := fmt.Sprint(speaker, " ", number)
		want := others(text)
		if speaker == client {
			want = mine(text)
		}
		if m != want || number != next[speaker] {
			t.Fatalf("client %d heard %s, want %s, number %d", client, m, want, next[speaker])
		}
		next[speaker]++
		messages[i] = text
	}
}

// testSlowButInTime: who reads late, but before the server's patience ends, has lost nothing.
func testSlowButInTime(t *testing.T, s server) {
	const size, messages = 100_000, 30 // together less than a topic's backlog
	room := "/?topic=" + unique("late")
	slow, sender := s.raw(t, room), s.dial(t, room)
	text := func(i int) string { return fmt.Sprintf("%0*d", size, i) }
	for i := range messages {
		sender.say(text(i))
		sender.hears("who reads does not wait", mine(text(i)))
	}
	for i := range messages {
		slow.gets("who reads late", "text:"+others(text(i)))
	}
	sender.say("marker")
	slow.gets("and is then like all others", "text:"+others("marker"))
}
