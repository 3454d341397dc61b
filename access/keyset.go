package access

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	maxSet       = 1 << 20          // bytes
	fetchTimeout = 5 * time.Second  // for all of an answer
	setAge       = 5 * time.Minute  // after which a set is fetched again
	fetchPause   = 10 * time.Second // at least, between two fetches
)

// A keySet is a JSON Web Key Set at an address. It is fetched when a token needs
// it: the first time, when it is old, and when a token names a key that it does
// not have. While its server is down, the last set holds.
type keySet struct {
	address string
	name    string // the address as it is logged
	log     *slog.Logger
	client  *http.Client

	ctx    context.Context // done when close begins
	cancel context.CancelFunc
	work   sync.WaitGroup // of fetches

	mu       sync.Mutex
	set      []key
	fetched  time.Time     // when set came; zero: never
	tried    time.Time     // when the last fetch began
	fetching chan struct{} // closed when the fetch under way ends; nil: none is
	failed   bool          // the last fetch did, so that only the first is logged
}

func newKeySet(address string, log *slog.Logger) (*keySet, error) {
	u, ok := parseAddress(address)
	if !ok {
		return nil, fmt.Errorf("%q is no address of a JSON Web Key Set: it begins with https:// or http://", address)
	}
	s := &keySet{address: address, name: named(u), log: log, client: &http.Client{
		Timeout: fetchTimeout,
		// A server must not be able to have keys fetched in the clear.
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) >= 5 || u.Scheme == "https" && r.URL.Scheme != "https" {
				return http.ErrUseLastResponse
			}
			return nil
		},
	}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// close ends fetches, and waits for them.
func (s *keySet) close() {
	s.cancel()
	s.work.Wait()
	s.client.CloseIdleConnections()
}

// keys returns the set. It waits for a fetch if there is no set, or none with
// that id; whoever invents ids cannot make it fetch more often than that.
func (s *keySet) keys(ctx context.Context, id string) ([]key, error) {
	set, wait := s.look(id)
	if wait == nil {
		return set, s.orNone(set)
	}
	select {
	case <-wait:
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.set, s.orNone(s.set)
}

func (s *keySet) orNone(set []key) error {
	if set == nil {
		return ErrNoKeys
	}
	return nil
}

// look returns the set, and what to wait for if it does not do.
func (s *keySet) look(id string) (set []key, wait <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.set != nil && (id == "" || slices.ContainsFunc(s.set, func(k key) bool { return k.id == id || k.id == "" }))
	old := time.Since(s.fetched) > setAge
	if (!known || old) && s.fetching == nil && time.Since(s.tried) >= fetchPause && s.ctx.Err() == nil {
		s.tried = time.Now()
		s.fetching = make(chan struct{})
		s.work.Go(s.refresh)
	}
	if known {
		return s.set, nil
	}
	return s.set, s.fetching
}

// refresh fetches the set.
func (s *keySet) refresh() {
	set, err := s.fetch()
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.fetching)
	s.fetching = nil
	switch {
	case err == nil:
		if s.failed {
			s.log.Info("the keys for tokens can be fetched again", "from", s.name)
		}
		s.set, s.fetched, s.failed = set, time.Now(), false
	case !s.failed && s.ctx.Err() == nil:
		s.failed = true
		s.log.Error("the keys for tokens cannot be fetched; those fetched before hold", "from", s.name, "error", cause(err))
	}
}

func (s *keySet) fetch() ([]key, error) {
	r, err := http.NewRequestWithContext(s.ctx, http.MethodGet, s.address, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := s.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New("the answer is " + resp.Status)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxSet+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxSet {
		return nil, fmt.Errorf("the set is too large: at most %d bytes are read", maxSet)
	}
	return parseJWKs(text)
}
