package wiretest

import (
	"regexp"
	"strings"
	"testing"
)

// testStamps: of the same kinds as the recordings, to the byte.
func testStamps(t *testing.T, s server) {
	room := "/?topic=" + unique("stamps")
	ann, bob := s.dial(t, room), s.dial(t, room)
	for _, c := range []struct{ said, heard string }{
		{"hi there", `{"data":"hi there","_now":<NOW>,"_me":ME}`},
		{`"quotes" \ / <b>&`, `{"data":"\"quotes\" \\ / <b>&","_now":<NOW>,"_me":ME}`},
		{"tab\there\x00\x1f", `{"data":"tab\there\u0000\u001f","_now":<NOW>,"_me":ME}`},
		{`{"type":"act","payload":"left"}`, `{"type":"act","payload":"left","_now":<NOW>,"_me":ME}`},
		{`{"big":12345678901234567890,"f":1.0,"e":1E400}`, `{"big":12345678901234567890,"f":1.0,"e":1E400,"_now":<NOW>,"_me":ME}`},
		{`{"a" : [ 1, 2 ] , "a":"\u00e9\/é"}`, `{"a" : [ 1, 2 ] , "a":"\u00e9\/é","_now":<NOW>,"_me":ME}`},
		{`{"in":{"_me":1,"_now":2}}`, `{"in":{"_me":1,"_now":2},"_now":<NOW>,"_me":ME}`},
		{`{"_me":true,"a":1,"_now":0}`, `{"_me":ME,"a":1,"_now":<NOW>}`},
		{`{"_me":1,"a":1,"_now":2,"_me":3,"\u005fnow":4}`, `{"_me":ME,"a":1,"_now":<NOW>}`},
		{`[true,[],{"x":-0}]`, `{"0":true,"1":[],"2":{"x":-0},"_now":<NOW>,"_me":ME}`},
		{`12345678901234567890`, `{"data":12345678901234567890,"_now":<NOW>,"_me":ME}`},
		{`"one\u0020string"`, `{"data":"one\u0020string","_now":<NOW>,"_me":ME}`},
		{`null`, `{"_now":<NOW>,"_me":ME}`},
		{`{}`, `{"_now":<NOW>,"_me":ME}`},
		{`{"a":1}{"b":2}`, `{"data":"{\"a\":1}{\"b\":2}","_now":<NOW>,"_me":ME}`},
	} {
		ann.say(c.said)
		ann.hears("its own copy of "+c.said, strings.Replace(c.heard, "ME", "true", 1))
		bob.hears("another's copy of "+c.said, strings.Replace(c.heard, "ME", "false", 1))
	}
}

func testBridge(t *testing.T, s server) {
	topic, other := unique("Something"), unique("Other")
	ann, bob := s.dial(t, "/bridge?topicName="+topic), s.dial(t, "/bridge?topicName="+topic)
	cat := s.dial(t, "/bridge?topicName="+other)
	for _, message := range []string{
		`{"topic":"` + topic + `","message":"Some Data"}`,
		`{ "n":1.0 , "topic" : "` + topic + `", "big":12345678901234567890, "_me":1 }`,
		`{"topic":"nobody","topic":"` + topic + `"}`, // the last counts, as everywhere in JavaScript
	} {
		ann.say(message)
		ann.hears("the sender is a member", message)
		bob.hears("byte for byte", message)
		cat.say(message)
		ann.hears("the sender is no member", message)
		bob.hears("the sender is no member", message)
	}
	for _, message := range []string{"hello", `{"topic":5}`, `{"in":{"topic":"` + topic + `"}}`, `{"topic":""}`, `["topic"]`, ""} {
		ann.say(message)
		ann.isRefused("no topic", message, `no topic: send a JSON object such as {\"topic\":\"Something\",\"message\":\"Some Data\"}`)
	}
	ann.sayBinary(`{"topic":"` + topic + `"}`)
	ann.isRefused("binary has no topic", "", `no topic: send a JSON object such as {\"topic\":\"Something\",\"message\":\"Some Data\"}`)
	marker := `{"topic":"` + topic + `","marker":true}`
	ann.say(marker)
	bob.hears("only the sender hears of an error", marker)
	cat.hearsNothing("not its topic")
}

// errorFrame is API Gateway's: a space after the first colon and after each comma, none after the other colons.
var errorFrame = regexp.MustCompile(`^\{"message": "(.*)", "connectionId":"([A-Za-z0-9_-]{15}=)", "requestId":"([A-Za-z0-9_-]{15}=)"\}$`)

// isRefused checks that the next message is an error frame, byte for byte.
func (c *client) isRefused(why, said, message string) {
	c.t.Helper()
	tag := c.tag
	c.tag = ""
	if tag != "" { // strangers' messages are passed over, but this one has no tag
		c.tag = `", "connectionId":"`
	}
	frame := c.next()
	c.tag = tag
	parts := errorFrame.FindStringSubmatch(frame)
	if parts == nil || parts[1] != message {
		c.t.Fatalf("%s: %q\n got %q\nwant %q in an error frame", why, said, frame, message)
	}
	if id := c.id(); parts[2] != id || parts[3] == id {
		c.t.Errorf("%s: the connection is %s, and %s", why, id, frame)
	}
}

func testChat(t *testing.T, s server) {
	tag := unique("chat")
	ann, bob := s.dial(t, "/chat"), s.dial(t, "/chat")
	ann.tag, bob.tag = tag, tag
	for _, c := range []struct{ said, heard string }{
		{`{"action":"sendMessage","data":"hello TAG"}`, `hello TAG`},
		{`{"data":"TAG\nbreak \u00e9 \"quoted\"","action":"sendMessage"}`, "TAG\nbreak é \"quoted\""},
		{`{"action":"sendMessage","data":{"TAG": [1, 2.0]}}`, `{"TAG": [1, 2.0]}`},
		{`{"action":"send\u004dessage","data":["TAG", null]}`, `["TAG", null]`},
		{`{"action":"sendMessage","data":"{\"a\":\"TAG\"}","more":1}`, `{"a":"TAG"}`},
	} {
		c.said, c.heard = strings.ReplaceAll(c.said, "TAG", tag), strings.ReplaceAll(c.heard, "TAG", tag)
		ann.say(c.said)
		ann.hears("the sender hears it, too", c.heard)
		bob.hears("everyone hears it", c.heard)
	}
	for _, said := range []string{
		`{"action":"sendMessage"}`, `{"action":"sendmessage","data":"TAG"}`, `{"action":["sendMessage"],"data":"TAG"}`,
		`{"data":"TAG"}`, "hello TAG", `"TAG"`, "",
	} {
		said = strings.ReplaceAll(said, "TAG", tag)
		ann.say(said)
		ann.isRefused("no route", said, "Forbidden")
	}
	ann.sayBinary(`{"action":"sendMessage","data":"` + tag + `"}`)
	ann.isRefused("no route for binary", "", "Forbidden")
	ann.say(`{"action":"sendMessage","data":"marker ` + tag + `"}`)
	bob.hears("only the sender hears of an error", "marker "+tag)
}

// testRoomsKeepSubscriptionsApart is the end of the recording, without its fault.
func testRoomsKeepSubscriptionsApart(t *testing.T, s server) {
	topic := unique("t1")
	subscribe := `{"action":"subscribe","topic":"` + topic + `"}`
	subscribed := `{"action":"subscribe","topic":"` + topic + `","ok":true}`
	older, newer, bob := s.dial(t, "/rooms?user=alice"), s.dial(t, "/rooms?user=alice"), s.dial(t, "/rooms?user=bob")
	for _, c := range []*client{older, newer, bob} {
		c.say(subscribe, subscribe)
		c.hears("twice is once", subscribed, subscribed)
	}
	say := `{"action":"broadcast","topic":"` + topic + `","payload":"x"}`
	stamped := `{"payload":"x","_topic":"` + topic + `","_now":<NOW>,"_me":ME}`
	newer.say(say)
	newer.hears("one user, but this connection", strings.Replace(stamped, "ME", "true", 1), `{"action":"broadcast","ok":true}`)
	older.hears("one user, another connection", strings.Replace(stamped, "ME", "false", 1))
	bob.hears("another user", strings.Replace(stamped, "ME", "false", 1))
	older.bye()
	bob.say(say)
	newer.hears("the other connection's end takes nothing away", strings.Replace(stamped, "ME", "false", 1))
	bob.say(`{"action":"unsubscribe","topic":"` + topic + `"}`)
	bob.hears("what was said before", strings.Replace(stamped, "ME", "true", 1), `{"action":"broadcast","ok":true}`, `{"action":"unsubscribe","ok":true}`)
	bob.say(say)
	bob.hears("it is no member any more", `{"action":"broadcast","ok":true}`)
	bob.hearsNothing("it is no member any more")
}

func testRoomsUsers(t *testing.T, s server) {
	topic := unique("users")
	var nobody *client
	for path, header := range map[string]string{
		"/rooms?user=ann":  "",
		"/rooms":           "X-WhoAmI: bob",
		"/rooms?user=cat":  "X-WhoAmI: dan",
		"/rooms?user=":     "X-WhoAmI: é",
		"/rooms?user=%22e": "X-WhoAmI: ",
		"/rooms?x=y":       "",
	} {
		c := s.dial(t, path, header)
		c.say(`{"action":"subscribe","topic":"` + topic + `"}`)
		c.next()
		if strings.HasSuffix(path, "x=y") {
			nobody = c
		}
	}
	a := s.ask(t, "GET /topics/"+topic+"?app=rooms")
	for _, who := range []string{"ann", "bob", "cat", "é", `\"e`, nobody.id()} {
		if !strings.Contains(a.body, `"`+who+`"`) {
			t.Errorf("%s is not in %s", who, a.body)
		}
	}
	if strings.Contains(a.body, `"dan"`) || strings.Count(a.body, ",") != 5 {
		t.Errorf("the query's user comes first, and nobody else is there: %s", a.body)
	}
}
