package serve

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"crier/access"
	"crier/door"
)

// TestServiceKnowsTheTopic: a service that decides by the topics it is told decides
// about requests whose path has the topic, too, and an answer about one topic is no
// answer about another.
func TestServiceKnowsTheTopic(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q access.Question
		if json.NewDecoder(r.Body).Decode(&q) != nil || !slices.Equal(q.Topics, []string{"open"}) {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		w.Header().Set("Cache-Control", "max-age=60")
	}))
	defer backend.Close()
	s := open(t, func(c *Config) {
		service, err := access.NewService(access.ServiceConfig{URL: backend.URL, Log: c.Log})
		if err != nil {
			t.Fatal(err)
		}
		c.Guard = &access.Guard{Service: service}
	})
	for _, c := range []struct{ method, before, after string }{
		{"GET", "/topics/", "/messages"},
		{"GET", "/topics/", "/state"},
		{"PUT", "/topics/", "/state/k"},
		{"DELETE", "/topics/", "/state/k"},
		{"POST", "/live?topic=", ""},
		{"POST", "/publish?topic=", ""},
		{"POST", "/publish?topicName=", ""},
		{"POST", "/publish?app=live&topic=", ""},
		{"WS", "/live?topic=", ""},
		{"WS", "/?topic=", ""},
	} {
		for topic, allowed := range map[string]bool{"open": true, "secret": false} {
			for range 2 { // the second time, from the cache
				got := status(t, s, c.method, c.before+topic+c.after, "", nil)
				if (got < 300) != allowed || !allowed && got != http.StatusForbidden {
					t.Errorf("%s %s%s%s: %d", c.method, c.before, topic, c.after, got)
				}
			}
		}
	}
	if got := status(t, s, "POST", "/publish", "", nil); got != http.StatusForbidden {
		t.Errorf("to everyone: %d", got)
	}
}

// TestOwnAndRights: who a client of the user's own API is, and until when, holds as
// it does in the other apps, and so does how fast it may be.
func TestOwnAndRights(t *testing.T) {
	s, h := openOwn(t, func(c *Config) {
		c.Guard = guard(t, c)
		c.Own.Alone = false
		c.Limits.Rate = 10
	})
	if got := status(t, s, "WS", "/dev", "", nil); got != http.StatusUnauthorized {
		t.Errorf("without a token: %d", got)
	}
	expires := time.Now().Add(1500 * time.Millisecond).Truncate(time.Second).Add(time.Second)
	eve := dial(t, s, h, "?token="+token(t, access.Wish{User: "eve", Expires: expires}))
	if bye := eve.end(); bye.Code != 1008 || time.Since(expires) < 0 {
		t.Errorf("eve is told %v, %v after the token's end", bye, time.Since(expires))
	}
	h.next(t, "DISCONNECT")

	ada := dial(t, s, h, "?token="+token(t, access.Wish{User: "ada"}))
	for range 12 {
		ada.say("hi")
	}
	for range 12 {
		ada.hear()
	}
	if s.home.metrics.throttled.Load() == 0 {
		t.Error("nobody is slowed down")
	}
	if got := signOut(t, s, "/users/ada?for=1h"); got != http.StatusNoContent {
		t.Fatal(got)
	}
	if bye := ada.end(); bye.Code != 1008 {
		t.Errorf("ada is told %v", bye)
	}
	h.next(t, "DISCONNECT")
}

// TestListenerSignedOut: a client that was signed out while it was let in does not
// stay as a listener.
func TestListenerSignedOut(t *testing.T) {
	s := openGuarded(t)
	if got := signOut(t, s, "/users/ada?for=1h"); got != http.StatusNoContent {
		t.Fatal(got)
	}
	r := httptest.NewRequest("GET", "/live?topic=a", nil)
	may := &access.Grant{User: "ada", Hear: true}
	if no := s.home.listen(httptest.NewRecorder(), r, may); no == nil || no.Name != door.KeptOut.Name {
		t.Errorf("the refusal is %v", no)
	}
}
