package cloud

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"crier/access"
)

// let gives the home a gate of this access, by way of the template's parameters.
func (h *testHome) let(a Access) {
	h.t.Helper()
	parameters, err := a.Parameters()
	if err != nil {
		h.t.Fatal(err)
	}
	for parameter, variable := range map[string]string{
		"KeyHashes": varKeys, "TokenSecrets": varSecrets, "TokenKeys": varKey, "TokenJwks": varJWKS,
		"TokenAudience": varAudience, "TokenIssuer": varIssuer, "AllowOrigins": varOrigins,
	} {
		h.t.Setenv(variable, parameters[parameter])
	}
	if h.gate, err = openGate(slog.New(slog.DiscardHandler)); err != nil {
		h.t.Fatal(err)
	}
}

func token(t *testing.T, w access.Wish) string {
	t.Helper()
	text, err := access.SecretSigner("secret").Sign(w, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestKeys: who has a key comes in, whichever way it is shown; others are told
// what is wrong. The key stands nowhere in the parameters.
func TestKeys(t *testing.T) {
	h := newTestHome(t, "broadcast")
	h.let(Access{Keys: []string{"old key", "new key"}})
	parameters, _ := Access{Keys: []string{"old key", "new key"}}.Parameters()
	if strings.Contains(fmt.Sprint(parameters), "old key") {
		t.Errorf("the key is in %v", parameters)
	}
	offer := func(key string) http.Header {
		return http.Header{"sec-websocket-protocol": {"crier.token." + base64.RawURLEncoding.EncodeToString([]byte(key)) + ", crier"}}
	}
	for i, test := range []struct {
		query  string
		header http.Header
		want   string
	}{
		{"", nil, `"statusCode":401`},
		{"", nil, "this server wants a key or a token"},
		{"token=other", nil, "this is no key of the server"},
		{"token=" + keyHash("old key"), nil, `"statusCode":401`}, // what the function knows is no key
		{"token=old+key", nil, `{"statusCode":200}`},
		{"", http.Header{"Authorization": {"Bearer new key"}}, `{"statusCode":200}`},
		{"", offer("new key"), `{"headers":{"Sec-WebSocket-Protocol":"crier"},"statusCode":200}`},
		{"", offer("no key"), `"statusCode":401`},
	} {
		answer, err := h.invokeWith(test.header, "CONNECT", idOf(100+i), test.query, "")
		if err != nil || !strings.Contains(answer, test.want) {
			t.Errorf("?%s, %v: got %s, %v", test.query, test.header, answer, err)
		}
	}
	if got := h.rows(); got != 2*3 {
		t.Errorf("%d rows, want those of three connections", got)
	}
	if strings.Contains(h.log.String(), "new key") {
		t.Errorf("a key is logged: %s", h.log)
	}
}

// TestOrigins: pages of this machine may connect, and those that are allowed.
func TestOrigins(t *testing.T) {
	h := newTestHome(t, "broadcast")
	h.let(Access{AllowOrigins: []string{"https://game.example.com", "https://b.example.com"}})
	for i, test := range []struct {
		origin string
		want   bool
	}{
		{"", true},
		{"http://localhost:8080", true},
		{"https://game.example.com", true},
		{"https://b.example.com", true},
		{"https://evil.example.com", false},
		{"null", false},
		{"https://localhost.example.com", false},
	} {
		header := http.Header{}
		if test.origin != "" {
			header["origin"] = []string{test.origin}
		}
		answer, err := h.invokeWith(header, "CONNECT", idOf(100+i), "", "")
		if err != nil || strings.Contains(answer, `"statusCode":200`) != test.want || !test.want && !strings.Contains(answer, "crier deploy --allow-origin permits it") {
			t.Errorf("origin %q: got %s, %v", test.origin, answer, err)
		}
	}
	h.let(Access{AllowOrigins: []string{"*"}})
	if answer, _ := h.invokeWith(http.Header{"Origin": {"https://evil.example.com"}}, "CONNECT", ann, "", ""); answer != `{"statusCode":200}` {
		t.Errorf("with *: got %s", answer)
	}
}

// TestTokens: a client hears and says what its token allows, and nothing else.
func TestTokens(t *testing.T) {
	h := newTestHome(t, "broadcast")
	h.let(Access{TokenSecrets: []string{"another", "secret"}, Audience: "game"})
	in := func(query string, w access.Wish) string {
		w.Audience = "game"
		return query + "&token=" + url.QueryEscape(token(t, w))
	}
	refused := func(id, query, want string) {
		t.Helper()
		if answer, err := h.invoke("CONNECT", id, query, ""); err != nil || !strings.Contains(answer, want) {
			t.Errorf("got %s, %v; want %s", answer, err, want)
		}
	}
	refused(ann, "token=a.b.c", `"statusCode":401`)
	refused(ann, "token="+token(t, access.Wish{}), "its aud is another")
	refused(ann, in("", access.Wish{Topics: []string{"game-*"}}), `"statusCode":403`) // everyone is no topic of its
	refused(ann, in("topic=other", access.Wish{Topics: []string{"game-*"}}), "you may not hear the topic \\\"other\\\"")

	h.must("CONNECT", ann, in("topic=game-1", access.Wish{Topics: []string{"game-*"}, Can: []string{"hear"}}), "")
	h.must("CONNECT", bob, in("topic=game-1", access.Wish{Topics: []string{"game-*"}}), "")
	h.must("CONNECT", cat, in("topic=game-1", access.Wish{Topics: []string{"game-*"}, Can: []string{"say"}}), "")
	h.must("MESSAGE", ann, "", "x")
	if got := h.gateway.take(ann); len(got) != 1 || !strings.Contains(got[0], `you may not say anything in the topic \"game-1\"`) {
		t.Errorf("ann heard %q", got)
	}
	h.hears(bob)
	h.must("MESSAGE", cat, "", "y") // it says something and hears nothing
	h.hears(ann, `{"data":"y","_now":<NOW>,"_me":false}`)
	h.hears(bob, `{"data":"y","_now":<NOW>,"_me":false}`)
	h.hears(cat)
	for _, id := range []string{ann, bob, cat} {
		h.must("DISCONNECT", id, "", "")
	}
	if got := h.rows(); got != 0 {
		t.Errorf("%d rows are left", got)
	}
}

// TestTokenNames: a client has the name that its token gives it.
func TestTokenNames(t *testing.T) {
	h := newTestHome(t, "rooms")
	h.let(Access{TokenSecrets: []string{"secret"}})
	ada := "token=" + token(t, access.Wish{User: "ada", Topics: []string{"t"}})
	if answer, err := h.invoke("CONNECT", ann, ada+"&user=eve", ""); err != nil || !strings.Contains(answer, "another user than ?user=") {
		t.Errorf("got %s, %v", answer, err)
	}
	h.must("CONNECT", ann, ada, "")
	if conn, err := h.registry.get(t.Context(), ann); err != nil || conn.Identity.User != "ada" {
		t.Errorf("got %+v, %v", conn, err)
	}
	h.must("MESSAGE", ann, "", `{"action":"subscribe","topic":"u"}`)
	if got := h.gateway.take(ann); len(got) != 1 || !strings.Contains(got[0], `you may not hear the topic \"u\"`) {
		t.Errorf("got %q", got)
	}
	h.must("MESSAGE", ann, "", `{"action":"subscribe","topic":"t"}`)
	h.hears(ann, `{"action":"subscribe","topic":"t","ok":true}`)
}

// TestExpiry: a token that has expired is good for nothing, and its connection is
// closed when something is sent by it, or to it.
func TestExpiry(t *testing.T) {
	h := newTestHome(t, "broadcast")
	h.let(Access{TokenSecrets: []string{"secret"}})
	for _, id := range []string{ann, bob, cat} {
		h.must("CONNECT", id, "token="+token(t, access.Wish{Expires: time.Now().Add(time.Hour)}), "")
	}
	for _, id := range []string{ann, bob} { // as if an hour had passed
		conn, err := h.registry.get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		conn.may.Expires, conn.expires = time.Now().Add(-time.Second), conn.expires.Add(time.Second)
		h.must("DISCONNECT", id, "", "")
		if err := h.registry.add(t.Context(), conn); err != nil {
			t.Fatal(err)
		}
	}
	expired := func(id string) string {
		return `{"message": "expired: the token has expired", "connectionId":"` + id + `", "requestId":"request"}`
	}
	h.must("MESSAGE", ann, "", "x")
	h.hears(ann, expired(ann))
	h.hears(bob)
	h.hears(cat)
	h.must("MESSAGE", cat, "", "y")
	h.hears(ann)
	h.hears(bob, expired(bob))
	h.hears(cat, `{"data":"y","_now":<NOW>,"_me":true}`)
	if !slices.Equal(h.gateway.ended, []string{ann, bob}) {
		t.Errorf("closed: %q", h.gateway.ended)
	}
	if got := h.rows(); got != 2 {
		t.Errorf("%d rows, want those of one connection", got)
	}
	if answer, err := h.invoke("CONNECT", ann, "token="+token(t, access.Wish{Expires: time.Now().Add(-time.Hour)}), ""); err != nil || !strings.Contains(answer, "the token has expired") {
		t.Errorf("got %s, %v", answer, err)
	}
}

// TestAccessIsBounded: a function's environment has little room.
func TestAccessIsBounded(t *testing.T) {
	if _, err := (Access{TokenKeys: strings.Repeat("x", 4000)}).Parameters(); err == nil || !strings.Contains(err.Error(), "--token-jwks") {
		t.Errorf("got %v", err)
	}
}
