package access

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A backend is somebody's own service.
type backend struct {
	*httptest.Server
	asks atomic.Int32

	mu     sync.Mutex
	last   map[string]any
	answer http.HandlerFunc
}

func newBackend(t *testing.T, answer http.HandlerFunc) *backend {
	b := &backend{answer: answer}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.asks.Add(1)
		b.mu.Lock()
		answer := b.answer
		json.NewDecoder(r.Body).Decode(&b.last)
		b.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(b.Close)
	return b
}

func (b *backend) service(t *testing.T, allow bool) *Service {
	t.Helper()
	s, err := NewService(ServiceConfig{URL: b.URL, Allow: allow, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func says(status int, text string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if len(header) > 0 {
			w.Header().Set("Cache-Control", header[0])
		}
		w.WriteHeader(status)
		w.Write([]byte(text))
	}
}

func question(target string) Question {
	r := httptest.NewRequest("GET", target, nil)
	r.RemoteAddr = "192.0.2.1:1234"
	r.Header.Set("Cookie", "session=1")
	r.Header.Set("X-Secret", "no")
	return NewQuestion(r, "live")
}

// TestQuestion: what the service is told.
func TestQuestion(t *testing.T) {
	b := newBackend(t, says(200, ""))
	if _, err := b.service(t, false).Ask(context.Background(), question("/live?topic=a&topic=b&token=x")); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"app": "live", "topics": []any{"a", "b"}, "address": "192.0.2.1:1234",
		"query":   map[string]any{"topic": []any{"a", "b"}, "token": []any{"x"}},
		"headers": map[string]any{"cookie": "session=1"},
	}
	if !reflect.DeepEqual(b.last, want) {
		t.Errorf("it is told %v", b.last)
	}
}

// TestServiceAnswers: in the words of a token, or as a refusal.
func TestServiceAnswers(t *testing.T) {
	for _, c := range []struct {
		answer http.HandlerFunc
		want   *Grant
		err    string
	}{
		{says(200, ""), &Grant{Hear: true, Say: true}, ""},
		{says(204, ""), &Grant{Hear: true, Say: true}, ""},
		{says(200, `{"sub":"ada","topics":["a*"],"can":["hear"]}`), &Grant{User: "ada", Topics: []string{"a*"}, Hear: true}, ""},
		{says(200, `{"topics":[]}`), &Grant{Topics: []string{}, Hear: true, Say: true}, ""},
		{says(200, `{"exp":1}`), nil, "the token has expired"},
		{says(403, "not you"), nil, "not you"},
		{says(401, `{"error":"x"}`), nil, "does not let this one in"},
		{says(403, strings.Repeat("x", 200)), nil, "does not let this one in"},
		{says(403, "a\x1b[31m"), nil, "does not let this one in"},
		{says(403, "\xff"), nil, "does not let this one in"},
		{says(200, "yes"), nil, "does not answer"},
		{says(200, `[]`), nil, "does not answer"},
		{says(200, `{"topics":1}`), nil, "does not answer"},
		{says(500, ""), nil, "does not answer"},
		{says(302, ""), nil, "does not answer"},
		{says(200, strings.Repeat(" ", maxAnswer+1)), nil, "does not answer"},
	} {
		b := newBackend(t, c.answer)
		got, err := b.service(t, false).Ask(context.Background(), question("/live?topic=a"))
		if c.err == "" && (err != nil || !reflect.DeepEqual(got, c.want)) {
			t.Errorf("%+v, %v; want %+v", got, err, c.want)
		}
		if c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%+v, %v; want %q", got, err, c.err)
		}
	}
}

// TestServiceIsDown: nobody comes in, or everybody; and it is not asked by each of
// them.
func TestServiceIsDown(t *testing.T) {
	b := newBackend(t, says(503, ""))
	closed, open := b.service(t, false), b.service(t, true)
	for range 10 {
		if _, err := closed.Ask(context.Background(), question("/")); !errors.Is(err, ErrServiceDown) {
			t.Errorf("%v", err)
		}
		if grant, err := open.Ask(context.Background(), question("/")); err != nil || grant != nil {
			t.Errorf("%v, %v", grant, err)
		}
	}
	if n := b.asks.Load(); n != 2 {
		t.Errorf("%d questions", n)
	}
	b.mu.Lock()
	b.answer = says(403, "no")
	b.mu.Unlock()
	open.down.Store(0) // a second has passed
	var refused *RefusedError
	if _, err := open.Ask(context.Background(), question("/")); !errors.As(err, &refused) || refused.Unknown {
		t.Errorf("%v", err)
	}
}

// TestOddAnswers: whoever brings the service to an answer that says nothing stays
// outside, whatever holds while it is down, and keeps nobody else out.
func TestOddAnswers(t *testing.T) {
	for name, odd := range map[string]http.HandlerFunc{
		"400": says(400, ""), "413": says(413, ""), "500": says(500, ""), "302": says(302, ""), "text": says(200, "yes"),
		"large": says(200, strings.Repeat(" ", maxAnswer+1)),
	} {
		b := newBackend(t, odd)
		s := b.service(t, true)
		if grant, err := s.Ask(context.Background(), question("/?topic=odd")); !errors.Is(err, ErrServiceDown) {
			t.Errorf("%s: %v, %v", name, grant, err)
		}
		b.mu.Lock()
		b.answer = says(200, `{"sub":"ada"}`)
		b.mu.Unlock()
		if grant, err := s.Ask(context.Background(), question("/")); err != nil || grant.Name() != "ada" {
			t.Errorf("%s: the next client: %v, %v", name, grant, err)
		}
	}
}

// TestServiceIsOverwhelmed: when the service does not answer, those that wait to ask
// do not find that out one after the other.
func TestServiceIsOverwhelmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := NewService(ServiceConfig{URL: "http://service.test", Log: quiet})
		if err != nil {
			t.Fatal(err)
		}
		var asks atomic.Int32
		s.client.Transport = tripper(func(r *http.Request) (*http.Response, error) {
			asks.Add(1)
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		began := time.Now()
		var clients sync.WaitGroup
		for range 5 * maxAsking {
			clients.Go(func() {
				if _, err := s.Ask(context.Background(), question("/")); !errors.Is(err, ErrServiceDown) {
					t.Errorf("%v", err)
				}
			})
		}
		clients.Wait()
		if n, d := asks.Load(), time.Since(began); n != maxAsking || d > serviceTimeout {
			t.Errorf("%d questions in %v", n, d)
		}
	})
}

// A tripper is an http.RoundTripper.
type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestSlowQuestion: one question that takes too long does not take the service down
// for all, if it answers others meanwhile.
func TestSlowQuestion(t *testing.T) {
	b := newBackend(t, nil)
	s := b.service(t, false)
	b.answer = func(w http.ResponseWriter, r *http.Request) {
		if b.asks.Load() > 1 {
			return
		}
		if _, err := s.Ask(context.Background(), question("/?topic=other")); err != nil {
			t.Errorf("another client: %v", err)
		}
		panic(http.ErrAbortHandler)
	}
	if _, err := s.Ask(context.Background(), question("/?topic=slow")); !errors.Is(err, ErrServiceDown) {
		t.Errorf("%v", err)
	}
	if s.down.Load() != 0 {
		t.Error("it is down for all")
	}
}

// TestServiceHangs: whoever waits for it may go.
func TestServiceHangs(t *testing.T) {
	hung := make(chan struct{})
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request) { <-hung })
	defer close(hung)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	s := b.service(t, true)
	if _, err := s.Ask(ctx, question("/")); !errors.Is(err, ErrServiceDown) {
		t.Errorf("%v", err)
	}
	if s.down.Load() != 0 {
		t.Error("one impatient client takes the service down for all")
	}
}

// TestCache: an answer is kept for as long as it says.
func TestCache(t *testing.T) {
	for header, asks := range map[string]int32{
		"": 3, "max-age=60": 1, "public, Max-Age=60": 1, "max-age=60, no-store": 3, "max-age=0": 3, "max-age=x": 3,
	} {
		b := newBackend(t, says(200, `{"sub":"ada"}`, header))
		s := b.service(t, false)
		for i := range 3 {
			q := question("/live?topic=a")
			q.Address = []string{"192.0.2.1:1", "192.0.2.1:2", "192.0.2.1:3"}[i]
			if g, err := s.Ask(context.Background(), q); err != nil || g.User != "ada" {
				t.Fatal(g, err)
			}
		}
		if n := b.asks.Load(); n != asks {
			t.Errorf("%q: %d questions, want %d", header, n, asks)
		}
		if asks == 1 { // another client is another question
			q := question("/live?topic=a")
			q.Headers["cookie"] = "session=2"
			s.Ask(context.Background(), q)
			if n := b.asks.Load(); n != 2 {
				t.Errorf("%q: another client gets the answer of the first", header)
			}
		}
	}
	b := newBackend(t, says(200, "", "max-age=60"))
	s := b.service(t, false)
	for i := range maxCached + 100 {
		s.put([32]byte{byte(i), byte(i >> 8)}, cachedAnswer{})
	}
	if n := len(s.cached); n != maxCached {
		t.Errorf("%d answers are kept", n)
	}
}

func TestServiceAddresses(t *testing.T) {
	for _, address := range []string{"", "localhost:1", "/authorize", "ftp://a"} {
		if _, err := NewService(ServiceConfig{URL: address}); err == nil {
			t.Errorf("%q is taken", address)
		}
	}
}
