package cloud

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"crier/app"
)

// TestBudget: a firehose is cut off when the minute's messages are used up, in all environments, and its sender is told. A
// minute later it goes on.
func TestBudget(t *testing.T) {
	h := newTestHome(t, "broadcast")
	h.crowd(20)
	h.budget.rate = 2 // 120 a minute
	now := time.Unix(1_800_000_000, 0)
	h.now = func() time.Time { return now }
	told := `{"message": "this stack sends no more messages in this minute: 2 a second are its limit, on average", "connectionId":"` + ann + `", "requestId":"request"}`
	for range 6 {
		h.must("MESSAGE", ann, "", "x")
		now = now.Add(reportEvery)
	}
	if got := h.gateway.take(ann); len(got) != 6 {
		t.Fatalf("got %q", got)
	}
	h.must("MESSAGE", ann, "", "x")
	h.hears(ann, told)
	if got := h.gateway.take(bob); len(got) != 6 {
		t.Errorf("bob got %q", got)
	}
	h.poster = newPoster(credentials.NewStaticCredentialsProvider("AKID", "secret", ""), "us-east-1")
	h.budget = &budget{registry: h.registry, rate: 2} // of another environment, which asks the table
	h.must("MESSAGE", ann, "", "y")
	if got := h.gateway.take(ann); len(got) != 1 || got[0] != told {
		t.Errorf("in another environment: %q", got)
	}
	now = now.Add(time.Minute)
	h.must("MESSAGE", ann, "", "z")
	if got := h.gateway.take(ann); len(got) != 1 || !strings.Contains(got[0], `"z"`) {
		t.Errorf("a minute later: %q", got)
	}
}

func TestUnits(t *testing.T) {
	for size, want := range map[int]int64{0: 1, 1: 1, billed: 1, billed + 1: 2, 4 * billed: 4} {
		if got := units(size); got != want {
			t.Errorf("%d bytes: %d, want %d", size, got, want)
		}
	}
}

// TestBudgetOfCrowds: one message to a crowd does not take more than what is left, and neither does what is handed over.
func TestBudgetOfCrowds(t *testing.T) {
	h := newTestHome(t, "broadcast")
	h.crowd(200)
	h.budget.rate = 2 // 120 a minute
	now := time.Unix(1_800_000_000, 0)
	h.now = func() time.Time { return now }
	heard := func() (n int) {
		for i := range 200 {
			n += len(h.gateway.take(idOf(i + 1)))
		}
		return n
	}
	h.must("MESSAGE", ann, "", "x")
	if n := heard(); n < 120 || n > 122 { // the sender's copy, and what it is told
		t.Errorf("%d messages were sent", n)
	}
	now = now.Add(time.Minute)
	h.audience, h.stride = 50, 50
	h.must("MESSAGE", ann, "", "x")
	for len(h.rests) > 0 {
		next := h.rests[0]
		h.rests = h.rests[1:]
		if _, err := h.Invoke(t.Context(), next); err != nil {
			t.Fatal(err)
		}
	}
	if n := heard(); n < 119 || n > 122 {
		t.Errorf("%d messages were sent by several", n)
	}
}

// TestBudgetTooSmall: a message that is billed as more than what is left reaches nobody, and its sender is told.
func TestBudgetTooSmall(t *testing.T) {
	h := newTestHome(t, "broadcast")
	h.crowd(3)
	h.budget.rate = 1 // 60 a minute
	now := time.Unix(1_800_000_000, 0)
	h.now = func() time.Time { return now }
	if _, err := h.registry.spend(t.Context(), now.Unix()/60, 59); err != nil {
		t.Fatal(err)
	}
	h.must("MESSAGE", ann, "", strings.Repeat("x", billed+1))
	if got := h.gateway.take(bob); got != nil {
		t.Errorf("bob got %d messages", len(got))
	}
	if got := h.gateway.take(ann); len(got) != 2 || !slices.Contains(got, missed("not all clients were reached: 1 messages a second are this stack's limit, on average over a minute")) {
		t.Errorf("ann got %.200q", got)
	}
}

// TestBudgetOfRests: when the minute's messages are used up in the middle of what is handed over, the sender is told.
func TestBudgetOfRests(t *testing.T) {
	h := newTestHome(t, "broadcast")
	h.crowd(60)
	h.budget.rate = 1
	now := time.Unix(1_800_000_000, 0)
	h.now = func() time.Time { return now }
	h.stride = 10
	rested := &rest{Endpoint: h.endpoint, Request: "request", Topics: []string{app.Everyone}, Messages: []message{{Request: "request", Sender: ann, Data: []byte("x")}}, Rests: 1}
	if _, err := h.registry.spend(t.Context(), now.Unix()/60, 25); err != nil { // elsewhere
		t.Fatal(err)
	}
	if err := h.goOn(t.Context(), rested, "one"); err != nil {
		t.Fatal(err)
	}
	h.hears(ann, missed("not all clients were reached: 1 messages a second are this stack's limit, on average over a minute"))
	n := 0
	for i := range 60 {
		n += len(h.gateway.take(idOf(i + 1)))
	}
	if n != 35 {
		t.Errorf("%d got it, want 35", n)
	}
}

// TestBudgetOfWindows: messages that are sent together count as what they are billed as, and if not all get them, each of
// their senders is told.
func TestBudgetOfWindows(t *testing.T) {
	h := newTestHome(t, "broadcast")
	h.budget.rate = 1
	now := time.Unix(1_800_000_000, 0)
	h.now = func() time.Time { return now }
	for i := range 6 {
		h.must("CONNECT", idOf(i+1), "", "")
	}
	say := func(spent int64) {
		t.Helper()
		now = now.Add(time.Minute)
		if _, err := h.registry.spend(t.Context(), now.Unix()/60, spent); err != nil {
			t.Fatal(err)
		}
		for i, id := range []string{ann, bob} {
			m := message{Request: fmt.Sprint(spent, i), Sender: id, Data: []byte(fmt.Sprintf(`{"n":%d}`, i)), Mine: []byte(fmt.Sprintf(`{"mine":%d}`, i))}
			if _, err := h.registry.append(t.Context(), []string{app.Everyone}, m, time.Now().Add(-2*overdue)); err != nil {
				t.Fatal(err)
			}
		}
		h.window = time.Millisecond
		h.budget = &budget{registry: h.registry, rate: 1}
		h.say(cat, fmt.Sprint("cat", spent), "cat")
	}
	say(54) // 6 are left, and each client gets one frame
	for i := range 6 {
		if got := h.gateway.take(idOf(i + 1)); len(got) != 1 || strings.Count(got[0], "\n") != 2 {
			t.Errorf("client %d got %q", i, got)
		}
	}
	say(59) // one is left
	for _, id := range []string{ann, bob, cat} {
		if got := h.gateway.take(id); len(got) != 2 || !strings.Contains(got[0]+got[1], `"message": "not all clients were reached: 1 messages a second`) {
			t.Errorf("%s got %q", id, got)
		}
	}
}

// TestBudgetOfTopics: many topics cost writes, as their client comes, goes and changes them. They count as messages do; who is in
// one topic is free.
func TestBudgetOfTopics(t *testing.T) {
	h := newTestHome(t, "broadcast")
	h.budget.rate = 1
	now := time.Unix(1_800_000_000, 0)
	h.now = func() time.Time { return now }
	spent := func() int64 {
		t.Helper()
		n, err := h.registry.spend(t.Context(), now.Unix()/60, 0)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	h.must("CONNECT", ann, "topic=a", "")
	if n := spent(); n != 0 {
		t.Errorf("one topic costs %d", n)
	}
	many := "topic=a"
	for i := range 39 {
		many += fmt.Sprint("&topic=", i)
	}
	h.must("CONNECT", bob, many, "")
	if n := spent(); n != 2*39 {
		t.Errorf("40 topics cost %d", n)
	}
	answer, err := h.invoke("CONNECT", cat, "topic=a&topic=b", "")
	if want := `{"body":"this stack does no more in this minute: try again in the next","statusCode":503}`; err != nil || answer != want {
		t.Errorf("two topics more: %s, %v", answer, err)
	}
	h.must("CONNECT", cat, "topic=a", "")
	now = now.Add(time.Minute)
	h.must("CONNECT", idOf(4), "topic=a&topic=b", "")
}

// TestBudgetOfSubscriptions: so do subscriptions. To leave a topic in which one is not costs nothing.
func TestBudgetOfSubscriptions(t *testing.T) {
	h := newTestHome(t, "rooms")
	h.budget.rate = 1
	now := time.Unix(1_800_000_000, 0)
	h.now = func() time.Time { return now }
	h.must("CONNECT", ann, "", "")
	writes := 0
	h.front(func(_ http.ResponseWriter, verb string, _ int, body []byte, _ func()) bool {
		if verb != "GetItem" && verb != "Query" && !strings.Contains(string(body), "ADD sent") {
			writes++
		}
		return false
	})
	for i := range 12 {
		h.must("MESSAGE", ann, "", fmt.Sprintf(`{"action":"subscribe","topic":"%d"}`, i))
		now = now.Add(reportEvery)
	}
	h.must("MESSAGE", ann, "", `{"action":"unsubscribe","topic":"other"}`)
	if writes != 2*12 {
		t.Errorf("%d writes, want two for each topic", writes)
	}
	h.gateway.take(ann)
	now = now.Truncate(time.Minute)
	h.must("MESSAGE", ann, "", `{"action":"subscribe","topic":"one more"}`)
	if got := h.gateway.take(ann); len(got) != 1 || !strings.HasPrefix(got[0], `{"message": "this stack sends no more messages in this minute`) || writes != 2*12 {
		t.Errorf("ann got %q, after %d writes", got, writes)
	}
}
