package serve

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"crier/access"
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
