package access

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"
)

// ServiceConfig says which service is asked.
type ServiceConfig struct {
	URL   string
	Allow bool // while the service is down, everybody may do everything; otherwise nobody may come in
	Log   *slog.Logger
}

const (
	serviceTimeout = 3 * time.Second
	servicePause   = time.Second     // after a failure, before the service is asked again
	maxAsking      = 100             // questions at once
	maxAnswer      = 64 << 10        // bytes
	maxSentence    = 100             // bytes of a refusal that the client gets
	maxCached      = 10_000          // answers
	maxCachedFor   = 5 * time.Minute // although the service says that it is longer
)

// A Service is one's own service, which is asked what a client may do.
type Service struct {
	config ServiceConfig
	name   string // the address as it is logged
	client *http.Client
	asking chan struct{} // a semaphore
	down   atomic.Int64  // until when it is not asked, in nanoseconds since 1970
	told   atomic.Int64  // when a failure was last logged, in nanoseconds since 1970
	heard  atomic.Int64  // when it last answered, in nanoseconds since 1970

	mu     sync.Mutex
	cached map[[sha256.Size]byte]cachedAnswer
}

type cachedAnswer struct {
	grant *Grant
	until time.Time
}

// A Question is what the service is told of a client that wants to come in. It is
// sent as JSON.
type Question struct {
	App     string              `json:"app"`
	Topics  []string            `json:"topics"`
	Address string              `json:"address"` // the client's, as the server sees it
	Query   map[string][]string `json:"query"`
	Headers map[string]string   `json:"headers"`
}

// told are the headers that the service is told.
var told = []string{"Authorization", "Cookie", "Origin", "User-Agent", "Accept-Language", "X-Forwarded-For", "Sec-Websocket-Protocol"}

// NewQuestion returns what the service is told of a request. It is about the topics
// of the query, and about these, if they are not empty.
func NewQuestion(r *http.Request, app string, topics ...string) Question {
	query := r.URL.Query()
	q := Question{App: app, Topics: []string{}, Address: r.RemoteAddr, Query: query, Headers: make(map[string]string)}
	for _, topic := range slices.Concat(query["topic"], query["topicName"], topics) {
		if topic != "" && !slices.Contains(q.Topics, topic) {
			q.Topics = append(q.Topics, topic)
		}
	}
	for _, name := range told {
		if lines := r.Header[name]; len(lines) > 0 {
			q.Headers[strings.ToLower(name)] = strings.Join(lines, ", ")
		}
	}
	return q
}

// A RefusedError is the service's refusal.
type RefusedError struct {
	Unknown  bool // it does not know who the client is; otherwise the client may not come in
	Sentence string
}

func (e *RefusedError) Error() string { return e.Sentence }

// ErrServiceDown says nothing about the client.
var ErrServiceDown = errors.New("the service that decides about clients does not answer at the moment")

// errOdd is why an answer says nothing about the client. The service is there; so
// whoever can bring it to such an answer, with a question that it cannot read,
// neither comes in nor keeps others out.
var errOdd = errors.New("the answer cannot be used")

// NewService returns a service at an address.
func NewService(c ServiceConfig) (*Service, error) {
	u, ok := parseAddress(c.URL)
	if !ok {
		return nil, fmt.Errorf("%q is no address of a service: it begins with https:// or http://", c.URL)
	}
	return &Service{
		config: c,
		name:   named(u),
		client: &http.Client{
			Timeout:       serviceTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		asking: make(chan struct{}, maxAsking),
		cached: make(map[[sha256.Size]byte]cachedAnswer),
	}, nil
}

// Ask returns what a client may do: nil is everything. The error is a
// *RefusedError, or ErrServiceDown.
func (s *Service) Ask(ctx context.Context, q Question) (*Grant, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return nil, fmt.Errorf("ask the service: %w", err)
	}
	key := s.keyOf(q)
	now := time.Now()
	if grant, ok := s.find(key, now); ok {
		return grant, nil
	}
	select {
	case s.asking <- struct{}{}:
		defer func() { <-s.asking }()
	case <-ctx.Done():
		return nil, ErrServiceDown
	}
	asked := time.Now()
	if asked.UnixNano() < s.down.Load() {
		return s.without()
	}
	grant, keep, err := s.post(ctx, body)
	var refused *RefusedError
	switch {
	case errors.As(err, &refused):
		return nil, err
	case err != nil && ctx.Err() != nil:
		return nil, ErrServiceDown // nobody waits any more
	case err != nil:
		s.complain(err)
		if errors.Is(err, errOdd) {
			return nil, ErrServiceDown
		}
		if s.heard.Load() < asked.UnixNano() { // otherwise only this question is too much for it
			s.down.Store(time.Now().Add(servicePause).UnixNano())
		}
		return s.without()
	}
	if keep > 0 {
		s.put(key, cachedAnswer{grant, now.Add(keep)})
	}
	return grant, nil
}

// complain logs a failure, from time to time.
func (s *Service) complain(err error) {
	now, last := time.Now().UnixNano(), s.told.Load()
	if now-last > int64(time.Minute) && s.told.CompareAndSwap(last, now) {
		s.config.Log.Error("the service that decides about clients cannot be asked", "at", s.name, "error", cause(err))
	}
}

// without decides while the service is down.
func (s *Service) without() (*Grant, error) {
	if s.config.Allow {
		return nil, nil
	}
	return nil, ErrServiceDown
}

// keyOf returns what an answer is kept under. A client's port says nothing.
func (s *Service) keyOf(q Question) [sha256.Size]byte {
	if i := strings.LastIndexByte(q.Address, ':'); i >= 0 {
		q.Address = q.Address[:i]
	}
	text, _ := json.Marshal(q) // maps are in the order of their keys
	return sha256.Sum256(text)
}

func (s *Service) find(key [sha256.Size]byte, now time.Time) (*Grant, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.cached[key]
	return a.grant, ok && now.Before(a.until)
}

func (s *Service) put(key [sha256.Size]byte, a cachedAnswer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for old := range s.cached { // any will do
		if len(s.cached) < maxCached {
			break
		}
		delete(s.cached, old)
	}
	s.cached[key] = a
}

// post asks. keep is for how long the answer is good.
func (s *Service) post(ctx context.Context, body []byte) (grant *Grant, keep time.Duration, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.config.URL, bytes.NewReader(body))
	if err != nil {
		return nil, 0, err
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := s.client.Do(r)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, 0, err
	}
	switch resp.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout: // says a proxy in its place
		return nil, 0, errors.New("the answer is " + resp.Status)
	}
	s.heard.Store(time.Now().UnixNano())
	switch {
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		return nil, 0, &RefusedError{resp.StatusCode == http.StatusUnauthorized, sentenceOf(text)}
	case resp.StatusCode/100 != 2:
		return nil, 0, fmt.Errorf("%w: it is %s", errOdd, resp.Status)
	case len(text) > maxAnswer:
		return nil, 0, fmt.Errorf("%w: at most %d bytes are read", errOdd, maxAnswer)
	}
	var c claims
	if len(bytes.TrimSpace(text)) > 0 { // no words are no limits, as in a token
		if err := json.Unmarshal(text, &c); err != nil {
			return nil, 0, fmt.Errorf("%w: %w", errOdd, err)
		}
	}
	now := time.Now()
	if c.Expiry != nil && !now.Before(c.Expiry.Time()) {
		return nil, 0, &RefusedError{true, ErrExpired.Error()}
	}
	keep = freshFor(resp.Header)
	grant = c.grant(now)
	if !grant.Expires.IsZero() {
		keep = min(keep, time.Until(grant.Expires))
	}
	return grant, keep, nil
}

// sentenceOf returns what the client is told of a refusal: the answer, if it is a
// short line of text.
func sentenceOf(text []byte) string {
	line := strings.TrimSpace(string(text))
	odd := func(r rune) bool { return !unicode.IsPrint(r) || r == '{' || r == '<' }
	if line == "" || len(line) > maxSentence || !utf8.ValidString(line) || strings.ContainsFunc(line, odd) {
		return "the service that decides about clients does not let this one in"
	}
	return line
}

// freshFor returns for how long an answer may be kept: as its Cache-Control says.
func freshFor(h http.Header) (keep time.Duration) {
	for part := range strings.SplitSeq(h.Get("Cache-Control"), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch strings.ToLower(name) {
		case "no-store", "no-cache", "private":
			return 0
		case "max-age":
			n, err := strconv.ParseUint(value, 10, 31)
			if err == nil {
				keep = min(time.Duration(n)*time.Second, maxCachedFor)
			}
		}
	}
	return keep
}
