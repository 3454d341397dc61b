package cloud

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
)

// TestFaults: what is throttled or fails is tried again, only 410 removes, and all is counted.
func TestFaults(t *testing.T) {
	t.Parallel() // it waits
	h := newTestHome(t, "broadcast")
	h.crowd(200)
	gone, throttled, broken, forbidden, big, reset, hung := idOf(10), idOf(20), idOf(30), idOf(40), idOf(50), idOf(60), idOf(70)
	h.gateway.answer = func(id string, try int) int {
		switch {
		case id == gone:
			return 410
		case id == throttled && try < 4:
			return 429
		case id == broken && try < 3:
			return 500
		case id == forbidden:
			return 403
		case id == big:
			return 413
		case id == reset && try < 3:
			return -1
		case id == hung && try < 2:
			return 0
		}
		return 200
	}
	h.must("MESSAGE", ann, "", "x")
	for i := range 200 {
		id := idOf(i + 1)
		switch id {
		case gone, forbidden, big:
			h.hears(id)
		default:
			if id == ann {
				h.hears(id, `{"data":"x","_now":<NOW>,"_me":true}`, strings.Replace(missed("2 of 199 clients were not reached"), `, "requestId":"request"`, "", 1))
				continue
			}
			h.hears(id, `{"data":"x","_now":<NOW>,"_me":false}`)
		}
	}
	line := h.logged()
	for name, want := range map[string]float64{"Deliveries": 197, "gone": 1, "refused": 2, "Lost": 0, "Retries": 3 + 2 + 2 + 1, "unsure": 2 + 1} {
		if line[name] != want {
			t.Errorf("%s: %v, want %v", name, line[name], want)
		}
	}
	if line["level"] != "WARN" || line["msg"] != "message" || line["requestId"] != "request" || line["connectionId"] != ann {
		t.Errorf("logged %v", line)
	}
	if got := strings.Count(h.log.String(), "\n"); got != 2 {
		t.Errorf("%d lines are logged, want one for the message and one for the refusals:\n%s", got, h.log)
	}
	if got := h.rows(); got != 2*199 {
		t.Errorf("%d rows, want those of the connection that is gone removed", got)
	}
}

// missed is what ann is told about a message of hers.
func missed(sentence string) string {
	return `{"message": "` + sentence + `", "connectionId":"` + ann + `", "requestId":"request"}`
}

// TestStaleLines: connections to the management API that it has closed meanwhile cost no try.
func TestStaleLines(t *testing.T) {
	h := newTestHome(t, "broadcast")
	h.crowd(200)
	for range 3 {
		h.must("MESSAGE", ann, "", "x")
		if line := h.logged(); line["Deliveries"] != 200.0 || line["Retries"] != 0.0 || line["unsure"] != 0.0 {
			t.Errorf("logged %v", line)
		}
		h.gateway.CloseClientConnections()
	}
}

// TestVanished: three of twenty do not answer. The others are told at once, and so is the sender. From then on those who do
// not answer are left out for a while, by new environments, too, and tried again after it.
func TestVanished(t *testing.T) {
	t.Parallel() // it waits
	h := newTestHome(t, "rooms")
	h.poster.hanging.pause = 3 * time.Second
	for i := range 20 {
		h.must("CONNECT", idOf(i+1), "", "")
		h.must("MESSAGE", idOf(i+1), "", `{"action":"subscribe","topic":"t"}`)
		h.gateway.take(idOf(i + 1))
	}
	var mu sync.Mutex
	hang, start, last := true, time.Time{}, time.Time{}
	h.gateway.answer = func(id string, try int) int {
		mu.Lock()
		defer mu.Unlock()
		if hang && id > idOf(17) {
			return 0
		}
		last = time.Now()
		return 200
	}
	say := func(what string, hanging float64, most time.Duration) {
		t.Helper()
		start = time.Now()
		h.must("MESSAGE", ann, "", `{"action":"broadcast","topic":"t","payload":{}}`)
		took, told := time.Since(start), last.Sub(start)
		line := h.logged()
		if line["hanging"] != hanging || line["Deliveries"] != 21-hanging || line["Lost"] != 0.0 || took > most || told > grace+700*time.Millisecond {
			t.Errorf("%s: it took %v, and the last to be told waited for %v; %v", what, took, told, line)
		}
		if got := h.gateway.take(ann); len(got) != 2 {
			t.Errorf("%s: the sender got %q", what, got)
		}
	}
	begun := time.Now()
	say("the first message", 3, postTimeout+probeTimeout+500*time.Millisecond)
	say("the second", 3, 800*time.Millisecond)
	h.poster = newPoster(credentials.NewStaticCredentialsProvider("AKID", "secret", ""), "us-east-1")
	h.poster.hanging.pause = 3 * time.Second
	say("in a new environment", 3, 800*time.Millisecond)
	time.Sleep(time.Until(begun.Add(6 * time.Second))) // what is tested is that time passes
	say("after a while", 3, probeTimeout+800*time.Millisecond)
	say("and then", 3, 800*time.Millisecond)
	mu.Lock()
	hang = false
	mu.Unlock()
	time.Sleep(4 * time.Second)
	say("when they answer", 0, 800*time.Millisecond)
	say("and then", 0, 800*time.Millisecond)
	if got := h.rows(); got != 40 {
		t.Errorf("%d rows", got)
	}
}

// TestSlowReader: who is throttled while the others are not is tried to the end once, and from then on for a short time.
func TestSlowReader(t *testing.T) {
	t.Parallel() // it waits
	h := newTestHome(t, "broadcast")
	h.crowd(3)
	slow := true
	h.gateway.answer = func(id string, try int) int {
		if id == cat && slow {
			return 429
		}
		return 200
	}
	for i, tries := range []int{maxTries, maxTries + slowTries} {
		h.must("MESSAGE", ann, "", "x")
		if line := h.logged(); line["Deliveries"] != 2.0 || line["Lost"] != 1.0 || h.gateway.tries[cat] != tries {
			t.Errorf("message %d: %d tries, %v", i, h.gateway.tries[cat], line)
		}
	}
	slow = false
	h.must("MESSAGE", ann, "", "x")
	if line := h.logged(); line["Deliveries"] != 3.0 || h.poster.slow.has(cat) {
		t.Errorf("when it reads again: %v", line)
	}
}

// TestTooLong: a message that its stamps make too long is told of, and not posted.
func TestTooLong(t *testing.T) {
	h := newTestHome(t, "broadcast")
	h.crowd(2)
	h.must("MESSAGE", ann, "", strings.Repeat(`"`, maxPost/2))
	h.hears(bob)
	h.hears(ann, fmt.Sprintf(`{"message": "the message has %d bytes with its stamps, and at most %d can be sent", "connectionId":"%s", "requestId":"request"}`,
		len(`{"data":"","_now":1795251347680,"_me":false}`)+maxPost, maxPost, ann))
}

// TestNothingIsEvicted: whatever else happens, no live connection loses its rows.
func TestNothingIsEvicted(t *testing.T) {
	t.Parallel() // it waits
	h := newTestHome(t, "broadcast")
	h.crowd(50)
	gaveUp := false
	h.gateway.answer = func(id string, try int) int {
		if gaveUp = gaveUp || id == ann && try > maxTries; gaveUp {
			return 200
		}
		return 429
	}
	start := time.Now()
	if _, err := h.invoke("MESSAGE", ann, "", "x"); err != nil {
		t.Fatal(err)
	}
	if got := h.rows(); got != 100 {
		t.Errorf("%d rows, want all 100", got)
	}
	if line := h.logged(); line["Lost"] != 50.0 || line["Deliveries"] != 0.0 || line["level"] != "WARN" {
		t.Errorf("logged %v", line)
	}
	h.hears(ann, missed("50 of 50 clients were not reached"))
	t.Logf("gave up after %v", time.Since(start))
}

// TestNewcomers: 410 during somebody's handshake does not remove it; it is reached when the handshake is done.
func TestNewcomers(t *testing.T) {
	h := newTestHome(t, "broadcast")
	h.must("CONNECT", ann, "", "")
	h.must("CONNECT", bob, "", "")
	h.gateway.answer = func(id string, try int) int {
		if id == bob && try < 3 {
			return 410
		}
		return 200
	}
	h.must("MESSAGE", ann, "", "x")
	h.hears(bob, `{"data":"x","_now":<NOW>,"_me":false}`)
	if got := h.rows(); got != 4 {
		t.Errorf("%d rows, want 4", got)
	}
}

// TestLeavers: somebody who has just come and left again is nobody's loss.
func TestLeavers(t *testing.T) {
	h := newTestHome(t, "broadcast")
	h.must("CONNECT", ann, "", "")
	h.must("CONNECT", bob, "", "")
	h.gateway.answer = func(id string, _ int) int {
		if id == bob {
			return 410
		}
		return 200
	}
	h.must("MESSAGE", ann, "", "x")
	h.hears(ann, `{"data":"x","_now":<NOW>,"_me":true}`)
	if line := h.logged(); line["Lost"] != 0.0 || line["gone"] != 1.0 {
		t.Errorf("logged %v", line)
	}
}

// TestStrange: an event that the function is not for is refused, and logged.
func TestStrange(t *testing.T) {
	var log bytes.Buffer
	h := &handler{log: slog.New(slog.NewJSONHandler(&log, nil))}
	for event, want := range map[string]string{
		`{"Records":[]}`: `an event of type "" is not from an API Gateway WebSocket API`,
		`[]`:             "read the event: json: ",
	} {
		log.Reset()
		_, err := h.Invoke(t.Context(), []byte(event))
		var line struct{ Level, Error string }
		if json.Unmarshal(log.Bytes(), &line) != nil || err == nil || line.Error != err.Error() || line.Level != "ERROR" || !strings.HasPrefix(line.Error, want) {
			t.Errorf("%s: %v; logged %s", event, err, &log)
		}
	}
}

// TestHousekeeping: what goes wrong when a message has been delivered is logged. Its sender is not told that it failed, because
// it would send it again.
func TestHousekeeping(t *testing.T) {
	t.Parallel() // it waits
	h := newTestHome(t, "broadcast")
	h.crowd(3)
	h.budget.rate = 1000
	h.front(func(w http.ResponseWriter, verb string, _ int, body []byte, _ func()) bool {
		if verb == "DeleteItem" || strings.Contains(string(body), "SET hangs") || strings.Contains(string(body), "ADD sent") && strings.Contains(string(body), `"N":"2"`) {
			w.WriteHeader(http.StatusBadRequest)
			return true
		}
		return false
	})
	h.gateway.answer = func(id string, _ int) int { return map[string]int{ann: 200, bob: 410, cat: 0}[id] }
	h.must("MESSAGE", ann, "", "x")
	h.hears(ann, `{"data":"x","_now":<NOW>,"_me":true}`)
	if line := h.logged(); line["Deliveries"] != 1.0 || line["gone"] != 1.0 || line["hanging"] != 1.0 || !strings.Contains(h.log.String(), `"msg":"clean up"`) {
		t.Errorf("logged %v", line)
	}
}

// TestCutOff: an answer whose status came is an answer, though the rest of it did not.
func TestCutOff(t *testing.T) {
	h := newTestHome(t, "broadcast")
	h.crowd(2)
	h.gateway.answer = func(string, int) int { return cutOff }
	h.must("MESSAGE", ann, "", "x")
	for _, id := range []string{ann, bob} {
		if tries := h.gateway.tries[id]; tries != 1 {
			t.Errorf("%s was posted to %d times", id, tries)
		}
	}
	if line := h.logged(); line["Deliveries"] != 2.0 || line["unsure"] != 0.0 {
		t.Errorf("logged %v", line)
	}
}

// TestOnlyListener: a sender that is in none of a message's topics is told if their only member was not reached.
func TestOnlyListener(t *testing.T) {
	h := newTestHome(t, "bridge")
	h.must("CONNECT", ann, "topicName=other", "")
	h.must("CONNECT", bob, "topicName=a", "")
	h.gateway.answer = func(id string, _ int) int { return map[string]int{ann: 200, bob: 403}[id] }
	h.must("MESSAGE", ann, "", `{"topic":"a","message":"x"}`)
	h.hears(ann, strings.Replace(missed("1 of 1 clients were not reached"), `, "requestId":"request"`, "", 1))
}
