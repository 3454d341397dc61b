package access

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// An issuer serves keys, if it is up.
type issuer struct {
	*httptest.Server
	mu   sync.Mutex
	text string
	down bool
	asks atomic.Int32
}

func newIssuer(t *testing.T, text string) *issuer {
	i := &issuer{text: text}
	i.Server = httptest.NewServer(i)
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.asks.Add(1)
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.down {
		http.Error(w, "down", http.StatusBadGateway)
		return
	}
	fmt.Fprint(w, i.text)
}

func (i *issuer) set(text string, down bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.text, i.down = text, down
}

// webKey is a public key with an id, as JSON.
func webKey(id string, k crypto.PublicKey, more ...string) string {
	text := string(must(jose.JSONWebKey{Key: k, KeyID: id}.MarshalJSON()))
	return strings.TrimSuffix(text, "}") + strings.Join(append([]string{""}, more...), ",") + "}"
}

func webKeys(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }

func of(id string, header string) string {
	return strings.TrimSuffix(header, "}") + `,"kid":"` + id + `"}`
}

// later lets time pass for the pauses between fetches, and for the age of the set.
func (s *keySet) later(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tried = s.tried.Add(-d)
	if !s.fetched.IsZero() {
		s.fetched = s.fetched.Add(-d)
	}
}

// TestKeySet: keys are fetched when they are needed, rotated, and outlive their server.
func TestKeySet(t *testing.T) {
	i := newIssuer(t, webKeys(webKey("1", ecKey.Public())))
	tokens := newTokens(t, TokenConfig{JWKS: i.URL})
	check := func(what, token string, want error, asks int32) {
		t.Helper()
		if _, err := tokens.Check(context.Background(), token, now); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
		tokens.remote.work.Wait()
		if n := i.asks.Load(); n != asks {
			t.Errorf("%s: %d fetches, want %d", what, n, asks)
		}
	}
	first, second := signed(of("1", es), ada, es256), signed(of("2", ed), ada, eddsa)
	check("the first token", first, nil, 1)
	check("another", first, nil, 1)
	check("one without an id", signed(es, ada, es256), nil, 1)
	check("an id that nobody has, at once", second, ErrAlgorithm, 1)
	tokens.remote.later(fetchPause)
	check("an id that nobody has", second, ErrAlgorithm, 2)
	check("the same again", second, ErrAlgorithm, 2)
	i.set(webKeys(webKey("1", ecKey.Public()), webKey("2", edKey.Public())), false)
	tokens.remote.later(fetchPause)
	check("a new key", second, nil, 3)
	check("the old key", first, nil, 3)
	i.set(webKeys(webKey("2", edKey.Public())), false)
	tokens.remote.later(setAge)
	check("the old key, while the set is fetched", first, nil, 4)
	check("the old key, which has been withdrawn", first, ErrAlgorithm, 4)
	i.set("", true)
	tokens.remote.later(setAge)
	check("the server is down", second, nil, 5)
	tokens.remote.later(time.Hour)
	check("for an hour", second, nil, 6)
	i.set("<html>", false)
	tokens.remote.later(time.Hour)
	check("it serves something else", second, nil, 7)
	i.set(webKeys(webKey("2", edKey.Public())), false)
	tokens.remote.later(fetchPause)
	check("it is there again", second, nil, 8)
	if tokens.remote.failed {
		t.Error("it has failed")
	}
}

// TestKeySetIsDown from the start: no token is refused for good.
func TestKeySetIsDown(t *testing.T) {
	i := newIssuer(t, webKeys(webKey("1", ecKey.Public())))
	i.set("", true)
	tokens := newTokens(t, TokenConfig{JWKS: i.URL})
	token := signed(of("1", es), ada, es256)
	for range 3 {
		if _, err := tokens.Check(context.Background(), token, now); !errors.Is(err, ErrNoKeys) {
			t.Error(err)
		}
	}
	if n := i.asks.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
	i.set(webKeys(webKey("1", ecKey.Public())), false)
	tokens.remote.later(fetchPause)
	if _, err := tokens.Check(context.Background(), token, now); err != nil {
		t.Error(err)
	}
}

// TestManyTokensAtOnce wait for one fetch.
func TestManyTokensAtOnce(t *testing.T) {
	i := newIssuer(t, webKeys(webKey("1", ecKey.Public())))
	tokens := newTokens(t, TokenConfig{JWKS: i.URL})
	token := signed(of("1", es), ada, es256)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if _, err := tokens.Check(context.Background(), token, now); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := i.asks.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
}

// TestKeySetHangs: whoever waits for it may go, and so may the server.
func TestKeySetHangs(t *testing.T) {
	hung := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-hung:
		}
	}))
	defer server.Close()
	defer close(hung)
	tokens := newTokens(t, TokenConfig{JWKS: server.URL})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := tokens.Check(ctx, signed(es, ada, es256), now); !errors.Is(err, ErrNoKeys) {
		t.Error(err)
	}
	began := time.Now()
	tokens.Close()
	if took := time.Since(began); took > fetchTimeout/2 {
		t.Errorf("closing took %v", took)
	}
}

// TestForeignKeys: keys of a set that are not for these tokens.
func TestForeignKeys(t *testing.T) {
	i := newIssuer(t, webKeys(
		`{"kty":"oct","kid":"1","k":"`+b64.EncodeToString([]byte("public secret"))+`"}`,
		webKey("2", ecKey.Public(), `"use":"enc"`),
		webKey("3", rsaKey.Public(), `"alg":"RS512"`),
		webKey("4", ecOther.Public()),
		`{"kty":"new","kid":"5"}`, `[]`,
		webKey("6", edKey.Public(), `"use":"sig"`, `"alg":"EdDSA"`, `"ext":true`),
	))
	tokens := newTokens(t, TokenConfig{JWKS: i.URL})
	for token, want := range map[string]error{
		signed(of("1", hs), ada, hs256("public secret")): ErrAlgorithm,
		signed(of("2", es), ada, es256):                  ErrAlgorithm,
		signed(of("3", rs), ada, rs256):                  ErrAlgorithm,
		signed(of("6", ed), ada, eddsa):                  nil,
		signed(of("7", ed), ada, eddsa):                  ErrSignature, // the right key, under another name
	} {
		if _, err := tokens.Check(context.Background(), token, now); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", token, err, want)
		}
	}
}

func TestKeySetAddresses(t *testing.T) {
	for _, address := range []string{"", "keys.json", "/etc/keys", "file:///etc/keys", "https://", "ftp://a/b", "http://a b/"} {
		if _, err := NewTokens(TokenConfig{JWKS: address, Log: quiet}); err == nil && address != "" {
			t.Errorf("%q is taken", address)
		}
	}
}
