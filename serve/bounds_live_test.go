package serve

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

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
