package client

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"crier/access"
	"crier/serve"
)

const secret = "a secret that nobody can guess, of more than 32 bytes"

// tokenOf returns a token that expires.
func tokenOf(t *testing.T, user string, ttl time.Duration) string {
	t.Helper()
	now := time.Now()
	token, err := access.SecretSigner(secret).Sign(access.Wish{User: user, Expires: now.Add(ttl)}, now)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func openGuarded(t *testing.T) *home {
	tokens, err := access.NewTokens(access.TokenConfig{Secrets: []string{secret}})
	if err != nil {
		t.Fatal(err)
	}
	return openHome(t, func(c *serve.Config) { c.Guard = &access.Guard{Tokens: tokens} })
}

// TestToken: in every app the client shows its token, and when that has expired
// it comes back with another one.
func TestToken(t *testing.T) {
	home := openGuarded(t)
	for name, o := range map[string]Options{"broadcast": {}, "live": {Topics: []string{"a"}, Live: new(Live)}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int32
			o.Token = func(context.Context) (string, error) {
				if asked.Add(1) == 1 {
					return tokenOf(t, "ada", 2*time.Second) + "\n", nil // as a file has it
				}
				return tokenOf(t, "ada", time.Hour), nil
			}
			p := join(t, home.url(), o)
			p.until("it is open again", func() bool { return asked.Load() == 2 && p.states[len(p.states)-1].State == Open })
			if got := fate(t, p.Send(`{"n":1}`)); got != Confirmed {
				t.Errorf("what it sends is %v", got)
			}
			if name == "live" && p.User() != "ada" {
				t.Errorf("it is %q", p.User())
			}
		})
	}
}

// TestTokenRefused: it does not try for ever.
func TestTokenRefused(t *testing.T) {
	home := openGuarded(t)
	for _, token := range []string{"", "wrong", tokenOf(t, "ada", -time.Hour)} {
		p := join(t, home.url(), Options{Timeout: patience, Token: func(context.Context) (string, error) { return token, nil }})
		p.becomes(Closed)
		if refused, ok := p.Status().Ended.(*Refused); !ok || refused.Status != 401 {
			t.Errorf("with %q it ended with %v", token, p.Status().Ended)
		}
	}
}

// TestNoToken: who cannot be asked now may be asked later.
func TestNoToken(t *testing.T) {
	home := openGuarded(t)
	asked := 0
	p := join(t, home.url(), Options{Token: func(context.Context) (string, error) {
		if asked++; asked < 3 {
			return "", fmt.Errorf("the service is down")
		}
		return tokenOf(t, "ada", time.Hour), nil
	}})
	p.becomes(Open)
}
