package access

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"
)

func secrets(t *testing.T, keys ...string) *Secrets {
	t.Helper()
	s, err := NewSecrets(keys, "", quiet)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestGuard(t *testing.T) {
	open := &Guard{AdminKeys: secrets(t, "admin"), PublishKeys: secrets(t, "publish")}
	keys := &Guard{AdminKeys: secrets(t, "admin"), PublishKeys: secrets(t, "publish"), Keys: secrets(t, "key", "old key")}
	tokens := &Guard{Keys: secrets(t, "key", "a.b.c"), Tokens: newTokens(t, TokenConfig{Secrets: []string{secret}})}
	token := func(body string) string { return signed(hs, body, hs256(secret)) }
	guests := &Guard{PublishKeys: secrets(t, "publish"), Guests: true}
	if !guests.Closed() || !guests.DecidesWithout() || keys.DecidesWithout() {
		t.Error("a guard with guests decides about all clients, and others do not")
	}
	if open.Closed() || !keys.Closed() || !tokens.Closed() || (&Guard{}).Closed() {
		t.Error("a guard is open that should not be, or the other way round")
	}
	for _, c := range []struct {
		guard           *Guard
		credential      string
		err             error
		connect, manage bool
		say, hear       bool
	}{
		{open, "admin", nil, true, true, true, true},
		{open, "publish", nil, false, false, true, false},
		{open, "", ErrWrongKey, false, false, false, false},
		{&Guard{}, "", ErrWrongKey, false, false, false, false},
		{keys, "key", nil, true, false, true, true},
		{keys, "old key", nil, true, false, true, true},
		{keys, "publish", nil, false, false, true, false},
		{keys, "Key", ErrWrongKey, false, false, false, false},
		{keys, "", ErrWrongKey, false, false, false, false},
		{keys, token("{}"), ErrWrongKey, false, false, false, false},
		{tokens, "a.b.c", nil, true, false, true, true},
		{tokens, "key", nil, true, false, true, true},
		{tokens, "", ErrWrongKey, false, false, false, false},
		{tokens, "no key", ErrWrongKey, false, false, false, false},
		{tokens, "no.key.either", ErrNoToken, false, false, false, false},
		{tokens, token(`{"topics":["a*"]}`), nil, true, false, true, true},
		{tokens, token(`{"topics":["b"]}`), nil, true, false, false, false},
		{tokens, token(`{"can":["hear"]}`), nil, true, false, false, true},
		{tokens, token(`{"exp":1}`), ErrExpired, false, false, false, false},
	} {
		pass, err := c.guard.Check(context.Background(), c.credential)
		if !errors.Is(err, c.err) {
			t.Errorf("%q: %v, want %v", c.credential, err, c.err)
			continue
		}
		if err == nil && (pass.Connect != c.connect || pass.Manage != c.manage || pass.Grant.MaySay("a") != c.say || pass.Grant.MayHear("a") != c.hear) {
			t.Errorf("%q: %+v, %+v", c.credential, pass, pass.Grant)
		}
	}
}

func TestCredential(t *testing.T) {
	encoded := "crier.token." + base64.RawURLEncoding.EncodeToString([]byte("kéy?"))
	for _, c := range []struct {
		target, authorization string
		protocols             []string
		want, protocol        string
	}{
		{"/", "", nil, "", ""},
		{"/", "Bearer key", nil, "key", ""},
		{"/", "bearer  key ", nil, "key", ""},
		{"/", "Basic a2V5", nil, "", ""},
		{"/?token=key", "", nil, "key", ""},
		{"/?token=a%20key&token=b", "", nil, "a key", ""},
		{"/?token=", "", nil, "", ""},
		{"/?token=b", "Bearer a", []string{encoded}, "a", encoded},
		{"/?token=b", "", []string{encoded}, "b", encoded},
		{"/", "", []string{encoded}, "kéy?", encoded},
		{"/", "", []string{"mqtt, " + encoded + ",crier"}, "kéy?", "crier"},
		{"/", "", []string{"mqtt", encoded}, "kéy?", encoded},
		{"/", "", []string{"crier"}, "", "crier"},
		{"/", "", []string{"mqtt"}, "", ""},
		{"/", "", []string{"crier.token.?"}, "", "crier.token.?"},
		{"/", "", []string{", ,"}, "", ""},
	} {
		r := httptest.NewRequest("GET", c.target, nil)
		if c.authorization != "" {
			r.Header.Set("Authorization", c.authorization)
		}
		r.Header["Sec-Websocket-Protocol"] = c.protocols
		if got, _ := Credential(r); got != c.want {
			t.Errorf("%+v: the credential is %q", c, got)
		}
		if got := Protocol(r); got != c.protocol {
			t.Errorf("%+v: the protocol is %q", c, got)
		}
	}
}

// TestTime: a token is checked by the clock of now.
func TestTime(t *testing.T) {
	guard := &Guard{Tokens: newTokens(t, TokenConfig{Secrets: []string{secret}})}
	for ttl, want := range map[time.Duration]error{time.Minute: nil, -time.Minute: ErrExpired} {
		token := must(SecretSigner(secret).Sign(Wish{Expires: time.Now().Add(ttl)}, time.Now()))
		if _, err := guard.Check(context.Background(), token); !errors.Is(err, want) {
			t.Errorf("%v: %v", ttl, err)
		}
	}
}

// TestGuests: whoever shows nothing may hear everything, under no name, and say
// nothing. Whoever shows something wrong is no guest.
func TestGuests(t *testing.T) {
	guard := &Guard{Keys: secrets(t, "key"), Tokens: newTokens(t, TokenConfig{Secrets: []string{secret}}), Guests: true}
	for target, want := range map[string]error{
		"/live?topic=a": nil, "/live?token=": nil, "/live?token=key": nil, "/live?token=wrong": ErrWrongKey, "/live?token=a.b.c": ErrNoToken,
	} {
		pass, err := guard.Admit(httptest.NewRequest("GET", target, nil), "live")
		isGuest := err == nil && target != "/live?token=key"
		switch {
		case !errors.Is(err, want) || (err == nil) != pass.Connect || pass.Manage:
			t.Errorf("%s: %+v, %v", target, pass, err)
		case isGuest && (!pass.Grant.MayHear("a") || !pass.Grant.MayHear("") || pass.Grant.MaySay("a") || pass.Grant.SaysAnything()):
			t.Errorf("%s: %+v", target, pass.Grant)
		case isGuest && (pass.Grant.Claim(url.Values{"topic": {"a"}}) != nil || !errors.Is(pass.Grant.Claim(url.Values{"user": {""}}), ErrGuestName)):
			t.Errorf("%s: a guest has a name", target)
		}
	}
}
