package wiretest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	reconnecting "crier/client"
)

// An endpoint is between a stack's function and the management API, and decides what becomes of posts.
type endpoint struct {
	t *testing.T
	*httptest.Server
	mu    sync.Mutex
	n     int                           // posts
	fate  func(n int, id string) string // of the nth post; nil: passed
	stack *url.URL
}

// What becomes of a post.
const (
	passed  = "passed on"
	unheard = "never answered"
	refused = "refused with 429"
	lost    = "passed on, and its answer is lost"
	final   = "refused with 403"
	taken   = "answered, and not passed on"
	slow    = "answered after a while, and not passed on"
)

func startEndpoint(t *testing.T) *endpoint {
	e := &endpoint{t: t}
	e.Server = httptest.NewServer(e)
	t.Cleanup(e.Close)
	return e
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	e.n++
	fate := passed
	if e.fate != nil {
		fate = e.fate(e.n, path.Base(r.URL.Path))
	}
	e.mu.Unlock()
	forward := httputil.NewSingleHostReverseProxy(e.stack)
	switch fate {
	case unheard:
		io.Copy(io.Discard, r.Body) // only then it is noticed that the other end has had enough
		<-r.Context().Done()
	case refused:
		w.WriteHeader(http.StatusTooManyRequests)
	case lost:
		forward.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	case final:
		w.WriteHeader(http.StatusForbidden)
	case failed:
		w.WriteHeader(http.StatusInternalServerError)
	case garbled:
		conn, _, _ := w.(http.Hijacker).Hijack()
		io.WriteString(conn, "<html>\r\n\r\n")
		conn.Close()
	case cutOff:
		forward.ServeHTTP(httptest.NewRecorder(), r)
		w.Header().Set("Content-Length", "10")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	case late:
		time.Sleep(700 * time.Millisecond) // what is tested is that time passes
		forward.ServeHTTP(w, r)
	case taken:
	case slow:
		time.Sleep(250 * time.Millisecond)
	default:
		forward.ServeHTTP(w, r)
	}
}

// from decides about posts from now on.
func (e *endpoint) from(fate func(n int, id string) string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.n, e.fate = 0, fate
}

// fromThird decides that posts to the third of those who are posted to have a fate from now on. The first is the sender.
func (e *endpoint) fromThird(fate string) {
	third := ""
	e.from(func(n int, id string) string {
		if n == 3 {
			third = id
		}
		if id == third {
			return fate
		}
		return passed
	})
}

// startBehind starts the broadcast app, whose function posts through an endpoint. So many runs of it are possible at once.
func startBehind(t *testing.T, concurrency int) (stack, *endpoint) {
	e := startEndpoint(t)
	s := startApp(t, "broadcast", concurrency, "CRIER_ENDPOINT: "+e.URL+"/prod")
	e.lead(s)
	return s, e
}

// lead makes the endpoint pass posts on to a stack.
func (e *endpoint) lead(s stack) {
	var err error
	if e.stack, err = url.Parse("http" + strings.TrimSuffix(strings.TrimPrefix(s.url, "ws"), "/prod")); err != nil {
		e.t.Fatal(err)
	}
}

// crowd connects n clients.
func (s stack) crowd(n int) (clients []*listener) {
	s.t.Helper()
	for range n {
		c, status, _ := s.dial("", nil)
		if c == nil {
			s.t.Fatalf("status %d", status)
		}
		clients = append(clients, c)
	}
	return clients
}

// TestCloudVanished: three of twenty do not answer; nobody else waits for them.
func TestCloudVanished(t *testing.T) {
	t.Parallel()
	s, e := startBehind(t, 4) // a run gives up the three after more than a second; the next message must not wait for that
	clients := s.crowd(20)
	everyone := func(text string) {
		clients[0].say(text)
		for _, c := range clients {
			c.hears(text)
		}
	}
	everyone("who is there?") // so that the function runs
	ids := make(map[string]bool)
	e.from(func(n int, id string) string {
		if n > 1 && len(ids) < 3 { // the first is for the sender
			ids[id] = true
		}
		return passed
	})
	everyone("so that three are chosen")
	e.from(func(_ int, id string) string {
		if ids[id] {
			return unheard
		}
		return passed
	})
	for i, most := range []time.Duration{time.Second, time.Second, time.Second} {
		start := time.Now()
		text := fmt.Sprintf("message %d", i)
		clients[0].say(text)
		heard := 0
		for _, c := range clients {
			if c.hearsWithin(text, most-time.Since(start)) {
				heard++
			}
		}
		if heard != 17 {
			t.Errorf("message %d: %d got it within %v", i, heard, most)
		}
	}
}

// hearsWithin reports whether a message with a part comes in time.
func (c *listener) hearsWithin(part string, wait time.Duration) bool {
	select {
	case data, ok := <-c.inbox():
		return ok && strings.Contains(data, part)
	case <-time.After(max(wait, time.Millisecond)):
		return false
	}
}

// TestCloudRefused: if nobody can be posted to, the sender is told, as soon as it can be.
func TestCloudRefused(t *testing.T) {
	t.Parallel()
	s, e := startBehind(t, 1)
	clients := s.crowd(5)
	tries := make(map[string]int)
	e.from(func(n int, id string) string {
		if tries[id]++; n <= 5*8 {
			return refused
		}
		return passed
	})
	clients[0].say("x")
	clients[0].hears(`{"message": "5 of 5 clients were not reached"`)
}

// TestCloudDoubles: answers that are lost double messages, and clients with Once get each of them once.
func TestCloudDoubles(t *testing.T) {
	t.Parallel()
	s, e := startBehind(t, 1)
	got := make(map[string]int)
	plain := s.crowd(1)[0]
	var mu sync.Mutex
	all := make(chan struct{})
	const messages = 30
	once, err := reconnecting.Connect(t.Context(), s.url, reconnecting.Options{Once: true, Message: func(_ *reconnecting.Client, m reconnecting.Message) {
		mu.Lock()
		defer mu.Unlock()
		if got[string(m.Data)]++; len(got) == messages {
			close(all)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer once.Close()
	e.from(func(n int, _ string) string {
		if n%10 == 3 {
			return lost
		}
		return passed
	})
	for i := range messages {
		once.Send(fmt.Sprintf(`{"i":%d}`, i))
	}
	select {
	case <-all:
	case <-time.After(patience):
		t.Fatalf("got %v", got)
	}
	heard := 0
	for plain.hearsWithin("", time.Second) {
		heard++
	}
	if heard <= messages {
		t.Errorf("a plain client got %d messages: nothing was doubled", heard)
	}
	mu.Lock()
	defer mu.Unlock()
	for text, n := range got {
		if n != 1 {
			t.Errorf("%s came %d times", text, n)
		}
	}
}

// TestCloudUnruly: posts are answered wrongly or late, for a while. Everybody gets the message, and nobody is told anything. It
// comes once, unless nobody can know whether it had come.
func TestCloudUnruly(t *testing.T) {
	t.Parallel()
	s, e := startBehind(t, 1)
	clients := s.crowd(3)
	for _, fate := range []string{failed, garbled, cutOff, late, refused} {
		tries := make(map[string]int)
		e.from(func(_ int, id string) string {
			if tries[id]++; tries[id] < 3 {
				return fate
			}
			return passed
		})
		clients[0].say(fate)
		for i, c := range clients {
			if !c.hearsWithin(`{"data":"`+fate+`",`, patience) {
				t.Errorf("%s: client %d", fate, i)
			}
		}
	}
	e.from(nil)
	clients[0].say("last")
	for i, c := range clients {
		if !c.hearsWithin(`{"data":"last",`, patience) {
			t.Errorf("client %d got something else in between", i)
		}
	}
}

// TestCloudFinal: posts to one of three are refused for good. The sender is told, and the log says it once for each message.
func TestCloudFinal(t *testing.T) {
	t.Parallel()
	s, e := startBehind(t, 1)
	clients := s.crowd(3)
	e.fromThird(final)
	for n := range 2 {
		text := fmt.Sprint("message ", n)
		clients[0].say(text)
		clients[0].hears(`{"data":"` + text)
		clients[0].hears(`{"message": "1 of 3 clients were not reached", "connectionId":"`)
	}
	s.settle(func() bool { return strings.Count(s.log(), "posts are refused") == 2 }, "two lines of the log")
	if !strings.Contains(s.log(), `"refused":1`) {
		t.Error("it is not counted")
	}
}

// TestCloudSlowReader: API Gateway has no room for what one of three should get. The sender is told of the first such message;
// from then on it is known that this client reads too slowly.
func TestCloudSlowReader(t *testing.T) {
	t.Parallel()
	s, e := startBehind(t, 1)
	clients := s.crowd(3)
	e.fromThird(refused)
	clients[0].say("one")
	clients[0].hears(`{"data":"one",`)
	clients[0].hears(`{"message": "1 of 3 clients were not reached"`)
	start := time.Now()
	clients[0].say("two")
	clients[0].hears(`{"data":"two",`)
	s.settle(func() bool { return strings.Contains(s.log(), `"Lost":1,"unsure":0,"slow":1`) }, "a slow client in the log")
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("a client that is known to be slow took %v", took)
	}
	clients[0].say("three")
	clients[0].hears(`{"data":"three",`) // and nothing about two
}
