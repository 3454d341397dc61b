package cloud

import (
	"strings"
	"testing"

	"crier/app"
)

func TestBroadcast(t *testing.T) {
	h := newTestHome(t, "broadcast")
	for _, id := range []string{ann, bob, cat} {
		h.must("CONNECT", id, "", "")
	}
	h.must("MESSAGE", bob, "", "hi there")
	h.hears(ann, `{"data":"hi there","_now":<NOW>,"_me":false}`)
	h.hears(bob, `{"data":"hi there","_now":<NOW>,"_me":true}`)
	h.hears(cat, `{"data":"hi there","_now":<NOW>,"_me":false}`)
	if got := h.rows(); got != 6 {
		t.Errorf("%d rows, want two for each", got)
	}
	h.must("DISCONNECT", bob, "", "")
	h.must("DISCONNECT", bob, "", "") // twice does no harm
	h.must("MESSAGE", ann, "", `{"n":1.0}`)
	h.hears(ann, `{"n":1.0,"_now":<NOW>,"_me":true}`)
	h.hears(bob)
	if got := h.rows(); got != 4 {
		t.Errorf("%d rows, want 4", got)
	}
	if _, err := h.invoke("MESSAGE", bob, "", "x"); err == nil {
		t.Error("a stranger is heard")
	}
	if _, err := h.invoke("NONSENSE", ann, "", "x"); err == nil || !strings.Contains(err.Error(), `"NONSENSE"`) {
		t.Errorf("got %v", err)
	}
}

// TestTopics: rooms are heard by who is in them, once each, and a silent sender does not hear itself.
func TestTopics(t *testing.T) {
	h := newTestHome(t, "broadcast")
	h.must("CONNECT", ann, "topic=red&topic=blue&topic=a%23b", "")
	h.must("CONNECT", bob, "topic=blue&topic=red&echo=0", "")
	h.must("CONNECT", cat, "topicName=red", "")
	h.must("MESSAGE", ann, "", "both")
	h.hears(ann, `{"data":"both","_now":<NOW>,"_me":true}`)
	h.hears(bob, `{"data":"both","_now":<NOW>,"_me":false}`)
	h.hears(cat, `{"data":"both","_now":<NOW>,"_me":false}`)
	h.must("MESSAGE", bob, "", "quiet")
	h.hears(ann, `{"data":"quiet","_now":<NOW>,"_me":false}`)
	h.hears(bob)
	h.hears(cat, `{"data":"quiet","_now":<NOW>,"_me":false}`)
	for _, id := range []string{ann, bob, cat} {
		h.must("DISCONNECT", id, "", "")
	}
	if got := h.rows(); got != 0 {
		t.Errorf("%d rows are left", got)
	}
}

// TestEndpoint: posts go to the API's own domain, whatever domain clients come through.
func TestEndpoint(t *testing.T) {
	for _, test := range []struct{ told, domain, want string }{
		{"", "localhost:8080", "https://localhost:8080/live"},
		{"", "abc.execute-api.eu-west-1.amazonaws.com", "https://abc.execute-api.eu-west-1.amazonaws.com/live"},
		{"https://told/live", "abc.execute-api.eu-west-1.amazonaws.com", "https://abc.execute-api.eu-west-1.amazonaws.com/live"},
		{"https://told/live", "game.example.com", "https://told/live"},
	} {
		ev := &event{}
		ev.Context.DomainName, ev.Context.Stage = test.domain, "live"
		if got := (&handler{endpoint: test.told}).endpointOf(ev); got != test.want {
			t.Errorf("%+v: got %s", test, got)
		}
	}
}

func TestRooms(t *testing.T) {
	h := newTestHome(t, "rooms")
	h.must("CONNECT", ann, "user=ann", "")
	h.must("CONNECT", bob, "", "")
	h.must("MESSAGE", ann, "", `{"action":"subscribe","topic":"t"}`)
	h.must("MESSAGE", ann, "", `{"action":"subscribe","topic":"t"}`)
	h.must("MESSAGE", bob, "", `{"action":"subscribe","topic":"t"}`)
	h.must("MESSAGE", ann, "", `{"action":"broadcast","topic":"t","payload":{"x":1}}`)
	ok := `{"action":"subscribe","topic":"t","ok":true}`
	h.hears(ann, ok, ok, `{"x":1,"_topic":"t","_now":<NOW>,"_me":true}`, `{"action":"broadcast","ok":true}`)
	h.hears(bob, ok, `{"x":1,"_topic":"t","_now":<NOW>,"_me":false}`)
	h.must("MESSAGE", bob, "", `{"action":"unsubscribe","topic":"t"}`)
	h.must("MESSAGE", bob, "", `{"action":"unsubscribe","topic":"other"}`)
	h.must("MESSAGE", bob, "", `{"action":"broadcast","topic":"t","payload":{"x":2}}`)
	h.hears(ann, `{"x":2,"_topic":"t","_now":<NOW>,"_me":false}`)
	h.hears(bob, `{"action":"unsubscribe","ok":true}`, `{"action":"unsubscribe","ok":true}`, `{"action":"broadcast","ok":true}`)
	h.must("DISCONNECT", ann, "", "")
	h.must("DISCONNECT", bob, "", "")
	if got := h.rows(); got != 0 {
		t.Errorf("%d rows are left", got)
	}
}

func TestOtherApps(t *testing.T) {
	h := newTestHome(t, "bridge")
	for query, want := range map[string]string{"": "the bridge needs a topic", "topicname=t": "did you mean topicName?"} {
		if answer, err := h.invoke("CONNECT", ann, query, ""); err != nil || !strings.Contains(answer, `"statusCode":400`) || !strings.Contains(answer, want) {
			t.Errorf("with ?%s: got %s, %v", query, answer, err)
		}
	}
	h.must("CONNECT", ann, "topicName=t", "")
	h.must("CONNECT", bob, "topicName=u", "")
	h.must("MESSAGE", bob, "", `{"topic":"t", "n": 1.0}`)
	h.hears(ann, `{"topic":"t", "n": 1.0}`)
	h.must("MESSAGE", bob, "", `no`)
	if got := h.gateway.take(bob); len(got) != 1 || !strings.Contains(got[0], `, "connectionId":"`+bob+`", "requestId":"request"}`) {
		t.Errorf("got %s", got)
	}
	h.app = app.Directory{}
	h.must("CONNECT", cat, "", "")
	h.must("MESSAGE", cat, "", "who?")
	h.hears(cat, `{"Items":[{"connectionId":"`+cat+`"}],"Count":1,"ScannedCount":1}`)
}

// TestFiveThousand: all of many are reached, each once, and one line is logged.
func TestFiveThousand(t *testing.T) {
	h := newTestHome(t, "broadcast")
	h.crowd(5000)
	h.must("MESSAGE", ann, "", "x")
	for i := range 5000 {
		if got := len(h.gateway.take(idOf(i + 1))); got != 1 {
			t.Fatalf("connection %d was posted to %d times", i+1, got)
		}
	}
	if line := h.logged(); line["Deliveries"] != 5000.0 || line["Lost"] != 0.0 || strings.Count(h.log.String(), "\n") != 1 {
		t.Errorf("logged %s", h.log)
	}
}
