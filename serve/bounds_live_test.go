package serve

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	wire "crier/client"
)

// ask makes a request to a server, and returns the answer.
func ask(t *testing.T, s *Server, method, path, body string) (status int, text string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http"+strings.TrimPrefix(s.URL(), "ws")+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(data)
}

// TestStateLeavesRoom: state, of which nothing is ever dropped for others, does
// not take all of the memory that messages need.
func TestStateLeavesRoom(t *testing.T) {
	s := open(t, func(c *Config) { c.Memory, c.Backlog = 16<<20, 1<<20 })
	full := false
	for topic := 0; !full && topic < 100; topic++ {
		for i := range 10 {
			status, _ := ask(t, s, "PUT", fmt.Sprintf("/topics/t%d/state/%d?app=live", topic, i), strings.Repeat("x", 100<<10))
			full = full || status == http.StatusConflict && i < 9
		}
	}
	if !full {
		t.Error("state has no bound")
	}
	c, err := wire.Dial(t.Context(), s.URL(), wire.Handshake{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.HangUp()
	for range 100 {
		c.Write([]byte(strings.Repeat("y", 100<<10)), false)
		next(t, c)
	}
}

// TestIdleSince: a topic is idle from when its last client has left.
func TestIdleSince(t *testing.T) {
	s := open(t, func(c *Config) { c.Linger = 0 })
	ask(t, s, "PUT", "/topics/a/state/k?app=live", "v") // nobody is in it
	c, _ := enter(t, s, "topic=a")
	before := time.Now()
	c.HangUp()
	empty(t, s)
	s.home.rooms.sweep(before.Add(s.config.IdleTopics))
	if _, text := ask(t, s, "GET", "/topics/a/state?app=live", ""); !strings.Contains(text, `"v"`) {
		t.Errorf("the state is %q", text)
	}
	s.home.rooms.sweep(time.Now().Add(s.config.IdleTopics))
	if s.home.rooms.find("a") != nil {
		t.Error("it is still there")
	}
}

// TestRoomsClosed: requests that come when all clients have left get an answer.
func TestRoomsClosed(t *testing.T) {
	s := open(t, nil)
	ask(t, s, "POST", "/live?topic=a", "hi")
	s.home.rooms.close()
	ask(t, s, "POST", "/live?topic=a", "hi")
	s.home.rooms.close()
}

// TestOffsetOfNothing: a message that is not kept has no offset.
func TestOffsetOfNothing(t *testing.T) {
	s := open(t, nil)
	for _, body := range []string{`{"_keep":false}`, "\xff"} {
		if _, text := ask(t, s, "POST", "/live?topic=a", body); strings.Contains(text, "offset") {
			t.Errorf("%q: %s", body, text)
		}
	}
	ask(t, s, "DELETE", "/topics/a/messages?app=live", "")
}

// TestFullStateDrops: state that takes all the memory it may have can be dropped.
func TestFullStateDrops(t *testing.T) {
	s := open(t, nil)
	ask(t, s, "PUT", "/topics/a/state/k?app=live", strings.Repeat("x", 1000))
	n := 1 << 40
	for ; n > 0; n /= 2 {
		for s.home.hub.Hold(n) {
			defer s.home.hub.Hold(-n)
		}
	}
	if status, text := ask(t, s, "PUT", "/topics/a/state/l?app=live", "y"); status != http.StatusConflict {
		t.Errorf("%d %s", status, text)
	}
	if status, text := ask(t, s, "PUT", "/topics/a/state/k?app=live", "y"); status != http.StatusOK {
		t.Errorf("a shorter value: %d %s", status, text)
	}
	if status, text := ask(t, s, "DELETE", "/topics/a/state/k?app=live", ""); status != http.StatusOK {
		t.Errorf("%d %s", status, text)
	}
}

// TestShyMessages: messages that are not kept do not push out those that are.
func TestShyMessages(t *testing.T) {
	s := open(t, nil)
	c, _ := enter(t, s, "topic=a")
	c.Write([]byte("hello"), false)
	next(t, c)
	move := []byte(`{"_keep":false,"pad":"` + strings.Repeat("x", 10<<10) + `"}`)
	for range 1000 {
		c.Write(move, false)
		next(t, c)
	}
	if _, text := ask(t, s, "GET", "/topics/a/messages?app=live", ""); !strings.Contains(text, "hello") {
		t.Errorf("kept is %q", text)
	}
}
