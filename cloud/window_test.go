package cloud

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"crier/app"
)

// environment returns another environment of the same function: another handler with the same table and API.
func (h *testHome) environment() *handler {
	other := *h.handler
	other.poster = newPoster(h.poster.credentials, "us-east-1")
	return &other
}

// say sends a message in an environment of its own, as Lambda does when several come at once.
func (h *testHome) say(id, request, text string) {
	ev := &event{Body: text}
	ev.Context.ConnectionID, ev.Context.RequestID, ev.Context.DomainName, ev.Context.EventType = id, request, "abc123.example.com", "MESSAGE"
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := h.environment().message(ctx, ev); err != nil {
		h.t.Error(err)
	}
}

// timeless returns text without its times.
func timeless(text string) string {
	parts := strings.Split(text, `"_now":`)
	for i := range parts[1:] {
		parts[i+1] = strings.TrimLeft(parts[i+1], "0123456789")
	}
	return strings.Join(parts, `"_now":`)
}

// TestWindow: messages that come within the window come as one post, each on a line of its own, and each sender has its copies.
func TestWindow(t *testing.T) {
	h := newTestHome(t, "broadcast")
	h.window = time.Second
	for _, id := range []string{ann, bob, cat} {
		h.must("CONNECT", id, "topic=a&topic=b", "")
	}
	var saying sync.WaitGroup
	saying.Go(func() { h.say(ann, "1", "one") })
	for h.waits("a", "b") < 1 {
		time.Sleep(time.Millisecond)
	}
	h.say(bob, "2", `{"n":2}`) // which returns at once
	h.say(ann, "3", "three")
	if got := h.gateway.take(cat); got != nil {
		t.Errorf("cat got %q before the window's end", got)
	}
	saying.Wait()
	for id, want := range map[string]string{
		ann: `{"data":"one","_now":,"_me":true}` + "\n" + `{"n":2,"_now":,"_me":false}` + "\n" + `{"data":"three","_now":,"_me":true}`,
		bob: `{"data":"one","_now":,"_me":false}` + "\n" + `{"n":2,"_now":,"_me":true}` + "\n" + `{"data":"three","_now":,"_me":false}`,
		cat: `{"data":"one","_now":,"_me":false}` + "\n" + `{"n":2,"_now":,"_me":false}` + "\n" + `{"data":"three","_now":,"_me":false}`,
	} {
		if got := h.gateway.take(id); len(got) != 1 || timeless(got[0]) != want {
			t.Errorf("%s got %q, want %q", id, got, want)
		}
	}
	h.window = time.Millisecond
	h.say(bob, "4", "four")
	if got := h.gateway.take(cat); len(got) != 1 || timeless(got[0]) != `{"data":"four","_now":,"_me":false}` {
		t.Errorf("cat got %q", got)
	}
	if n := h.waits("a", "b"); n != 0 {
		t.Errorf("%d messages wait", n)
	}
}

// waits returns how many messages wait.
func (h *testHome) waits(topics ...string) int {
	h.t.Helper()
	w, err := h.registry.waiting(context.Background(), topics)
	if err != nil {
		h.t.Fatal(err)
	}
	return len(w.messages)
}

// TestWindowOfLines: what has lines of its own comes alone, and in its place.
func TestWindowOfLines(t *testing.T) {
	h := newTestHome(t, "broadcast")
	h.window = 300 * time.Millisecond
	h.must("CONNECT", ann, "", "")
	h.must("CONNECT", bob, "", "")
	var saying sync.WaitGroup
	saying.Go(func() { h.say(ann, "1", "one") })
	for h.waits(app.Everyone) < 1 {
		time.Sleep(time.Millisecond)
	}
	h.say(ann, "2", "{\"lines\":\n2}")
	saying.Wait()
	got := h.gateway.take(bob)
	if len(got) != 2 || timeless(got[0]) != `{"data":"one","_now":,"_me":false}` || timeless(got[1]) != "{\"lines\":\n2,\"_now\":,\"_me\":false}" {
		t.Errorf("bob got %q", got)
	}
}

// TestDeadKeeper: the invocation that keeps a window dies. The next message that comes takes what waits, and nothing is lost or
// doubled.
func TestDeadKeeper(t *testing.T) {
	h := newTestHome(t, "broadcast")
	h.window = time.Millisecond
	h.must("CONNECT", ann, "", "")
	h.must("CONNECT", bob, "", "")
	dead := message{Request: "0", Sender: ann, Data: []byte(`{"n":0}`)}
	if _, err := h.registry.append(t.Context(), []string{app.Everyone}, dead, time.Now().Add(-2*overdue)); err != nil {
		t.Fatal(err)
	}
	if _, err := h.registry.append(t.Context(), []string{app.Everyone}, dead, time.Now()); err != nil { // whose answer was lost
		t.Fatal(err)
	}
	h.say(ann, "1", "one")
	if got := h.gateway.take(bob); len(got) != 1 || timeless(got[0]) != "{\"n\":0}\n"+`{"data":"one","_now":,"_me":false}` {
		t.Errorf("bob got %q", got)
	}
}

// TestLostAppend: the table lets a message wait, and its answer is lost. The message comes, and comes once.
func TestLostAppend(t *testing.T) {
	h := newTestHome(t, "broadcast")
	h.window = 10 * time.Millisecond
	h.must("CONNECT", ann, "", "")
	h.front(func(w http.ResponseWriter, verb string, n int, _ []byte, do func()) bool {
		if verb != "UpdateItem" || n > 2 {
			return false
		}
		do() // done, but not told
		w.WriteHeader(500)
		return true
	})
	h.say(ann, "1", "one")
	if got := h.gateway.take(ann); len(got) != 1 || timeless(got[0]) != `{"data":"one","_now":,"_me":true}` {
		t.Errorf("ann got %q", got)
	}
}

// TestManyWindows: many clients send at once, some answers of the table are lost, and everybody gets everything once.
func TestManyWindows(t *testing.T) {
	t.Parallel() // it waits
	h := newTestHome(t, "broadcast")
	h.window = 50 * time.Millisecond
	var mu sync.Mutex
	ids := []string{ann, bob, cat, idOf(4), idOf(5)}
	for _, id := range ids {
		h.must("CONNECT", id, "", "")
	}
	takes := 0
	h.front(func(w http.ResponseWriter, verb string, _ int, body []byte, do func()) bool {
		if verb != "UpdateItem" || !strings.Contains(string(body), "REMOVE said") {
			return false
		}
		mu.Lock()
		defer mu.Unlock()
		if takes++; takes%3 != 0 {
			return false
		}
		do() // done, but not told
		w.WriteHeader(500)
		return true
	})
	var saying sync.WaitGroup
	const each = 20
	for i, id := range ids {
		saying.Go(func() {
			for n := range each {
				h.say(id, fmt.Sprint(i, "-", n), fmt.Sprintf(`{"i":%d,"n":%d}`, i, n))
			}
		})
	}
	saying.Wait()
	posts := 0
	for _, id := range ids {
		count := make(map[string]int)
		got := h.gateway.take(id)
		posts += len(got)
		for _, frame := range got {
			for line := range strings.SplitSeq(frame, "\n") {
				line, _, _ = strings.Cut(line, `,"_now"`)
				count[line]++
			}
		}
		if len(count) != len(ids)*each {
			t.Errorf("%s got %d messages, want %d", id, len(count), len(ids)*each)
		}
		for line, n := range count {
			if n != 1 {
				t.Errorf("%s got %s %d times", id, line, n)
			}
		}
	}
	t.Logf("%d posts for %d messages to %d clients", posts, len(ids)*each, len(ids))
}

// TestCrowdedWindow: more messages wait than one request can take. They come, each once, in their order.
func TestCrowdedWindow(t *testing.T) {
	h := newTestHome(t, "bridge")
	h.window = time.Millisecond
	h.must("CONNECT", ann, "topicName=a", "")
	h.front(func(w http.ResponseWriter, _ string, _ int, body []byte, _ func()) bool {
		var request struct{ UpdateExpression string }
		if json.Unmarshal(body, &request); len(request.UpdateExpression) <= 4096 {
			return false
		}
		w.WriteHeader(http.StatusBadRequest) // as DynamoDB, and other than dynalite
		return true
	})
	const n = 2*mostTaken + 1
	for i := range n {
		m := message{Request: fmt.Sprint(i), Sender: "nobody", Data: fmt.Appendf(nil, "{%d}", i)}
		if _, err := h.registry.append(t.Context(), []string{"a"}, m, time.Now().Add(-2*overdue)); err != nil {
			t.Fatal(err)
		}
	}
	h.say(ann, "last", `{"topic":"a","message":"{last}"}`)
	lines := strings.Split(strings.Join(h.gateway.take(ann), "\n"), "\n")
	if len(lines) != n+1 || lines[0] != "{0}" || lines[n-1] != fmt.Sprintf("{%d}", n-1) || lines[n] != `{"topic":"a","message":"{last}"}` {
		t.Errorf("ann got %d lines: %.300q", len(lines), lines)
	}
}

// TestStaleWindow: what waits for a keeper that died is not posted hours later. It is lost, and counted.
func TestStaleWindow(t *testing.T) {
	h := newTestHome(t, "broadcast")
	h.window = time.Millisecond
	h.must("CONNECT", ann, "", "")
	old := message{Request: "0", Sender: ann, Data: []byte(`{"n":0}`)}
	if _, err := h.registry.append(t.Context(), []string{app.Everyone}, old, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	h.say(ann, "1", "one")
	if got := h.gateway.take(ann); len(got) != 1 || timeless(got[0]) != `{"data":"one","_now":,"_me":true}` {
		t.Errorf("ann got %q", got)
	}
	if line := h.logged(); line["Lost"] != 1.0 || line["stale"] != 1.0 || line["level"] != "WARN" {
		t.Errorf("logged %v", line)
	}
}

// TestBusyWindow: in a room where something comes during each window, the keeper ends in time, and nothing is lost.
func TestBusyWindow(t *testing.T) {
	t.Parallel() // it waits
	h := newTestHome(t, "broadcast")
	h.window = 500 * time.Millisecond
	h.must("CONNECT", ann, "", "")
	n, last, start := 0, time.Now(), time.Now()
	h.front(func(_ http.ResponseWriter, verb string, _ int, body []byte, _ func()) bool {
		if verb != "UpdateItem" || !strings.Contains(string(body), "REMOVE said") || time.Since(last) < h.window/2 {
			return false
		}
		last = time.Now()
		n++ // one more comes while what waits is taken
		m := message{Request: fmt.Sprint("late", n), Sender: "nobody", Data: fmt.Appendf(nil, `{"n":%d}`, n)}
		if _, err := h.registry.append(context.Background(), []string{app.Everyone}, m, time.Now()); err != nil {
			t.Error(err)
		}
		return false
	})
	h.say(ann, "0", "first")
	if took := time.Since(start); took > maxKeep+2*time.Second {
		t.Errorf("the keeper kept for %v", took)
	}
	lines := strings.Split(strings.Join(h.gateway.take(ann), "\n"), "\n")
	if len(lines) != n+1 || h.waits(app.Everyone) != 0 {
		t.Errorf("%d lines for %d messages", len(lines), n+1)
	}
}

// TestUnfinishedWindow: the table fails when the messages of a window have been taken. Their senders are told.
func TestUnfinishedWindow(t *testing.T) {
	h := newTestHome(t, "broadcast")
	h.window = time.Millisecond
	h.must("CONNECT", ann, "", "")
	h.must("CONNECT", bob, "", "")
	m := message{Request: "0", Sender: bob, Data: []byte(`{"n":0}`), Mine: []byte(`{"n":0}`)}
	if _, err := h.registry.append(t.Context(), []string{app.Everyone}, m, time.Now().Add(-2*overdue)); err != nil {
		t.Fatal(err)
	}
	h.front(func(w http.ResponseWriter, verb string, _ int, _ []byte, _ func()) bool {
		if verb != "Query" {
			return false
		}
		w.WriteHeader(http.StatusBadRequest)
		return true
	})
	if _, err := h.invoke("MESSAGE", ann, "", "x"); err == nil {
		t.Error("it has not failed")
	}
	if got := h.gateway.take(bob); len(got) != 2 || got[1] != `{"message": "not all clients were reached: the function failed", "connectionId":"`+bob+`", "requestId":"0"}` {
		t.Errorf("bob got %q", got)
	}
}
