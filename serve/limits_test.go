package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"crier/access"
	wire "crier/client"
)

// come does a handshake, from an address that a proxy of this machine names.
func come(t *testing.T, s *Server, path, from string) (c *wire.Conn, status int) {
	t.Helper()
	h := wire.Handshake{Header: http.Header{}}
	if from != "" {
		h.Header.Set("X-Forwarded-For", from)
	}
	c, err := wire.Dial(t.Context(), s.URL()+path, h)
	var refused *wire.Refused
	switch {
	case errors.As(err, &refused):
		return nil, refused.Status
	case err != nil:
		t.Fatal(err)
	}
	t.Cleanup(c.HangUp)
	return c, http.StatusSwitchingProtocols
}

// thisMachine makes a server believe what proxies of this machine say.
func thisMachine(c *Config) {
	c.Proxies = append(c.Proxies, netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"))
}

// TestRate: a firehose is slowed down to its rate exactly, nothing of it is lost,
// and who is within the rate notices nothing.
func TestRate(t *testing.T) {
	for _, c := range []struct {
		path string
		text func(i int) string
		cost int // of a message
	}{
		{"/", func(i int) string { return fmt.Sprint("m", i) }, 1},
		{"/?topic=a&topic=b", func(i int) string { return fmt.Sprint("m", i) }, 2},
		{"/bridge?topicName=a", func(i int) string { return fmt.Sprintf(`{"topic":"a","m":%d}`, i) }, 1},
		{"/live?topic=a", func(i int) string { return fmt.Sprintf(`{"m":%d}`, i) }, 1},
	} {
		t.Run(c.path, func(t *testing.T) {
			t.Parallel()
			const rate, over = 100, 1500 * time.Millisecond
			s := open(t, func(c *Config) { c.Limits.Rate = rate })
			firehose, listener := dialAs(t, s, c.path, ""), dialAs(t, s, c.path, "")
			for range strings.Count(c.path, "live") * 2 { // greetings and a join
				read(t, listener)
			}
			n := int((time.Second + over).Seconds() * rate / float64(c.cost))
			start := time.Now()
			var writing sync.WaitGroup
			writing.Go(func() {
				for i := range n {
					firehose.Write(context.Background(), websocket.MessageText, []byte(c.text(i)))
				}
			})
			for i := 0; i < n; {
				if text := read(t, listener); strings.Contains(text, "_join") {
					continue
				} else if !strings.Contains(text, fmt.Sprint(i)) {
					t.Fatalf("message %d is %s", i, text)
				}
				i++
			}
			if took := time.Since(start); took < over-50*time.Millisecond || took > over+2*time.Second {
				t.Errorf("%d messages took %v", n, took)
			}
			writing.Wait()
			if n := s.home.metrics.throttled.Load(); n != 1 {
				t.Errorf("%d times somebody began to be too fast", n)
			}
			await(t, "who is throttled is not listed", func() bool {
				slow := 0
				for _, info := range s.home.connectionsHere("", nil) {
					if info.Throttled {
						slow++
					}
				}
				return slow == 1
			})
			await(t, "it is throttled for ever", func() bool {
				return !s.home.connectionsHere("", nil)[0].Throttled && !s.home.connectionsHere("", nil)[1].Throttled
			})
		})
	}
}

// TestRateOfBytes: the same for bytes.
func TestRateOfBytes(t *testing.T) {
	s := open(t, func(c *Config) { c.Limits.ByteRate = 10_000 })
	c := dialAs(t, s, "/", "")
	message := strings.Repeat("x", 1000)
	start := time.Now()
	for range 20 {
		write(t, c, message)
	}
	for range 20 {
		read(t, c)
	}
	// The second half takes 0.9 s, by a clock that the event loop reads now and then.
	if took := time.Since(start); took < 880*time.Millisecond || took > 3*time.Second {
		t.Errorf("20 kB at 10 kB a second took %v", took)
	}
}

// TestGoodbyeOfThrottled: what a client has sent before it says goodbye is
// published, however fast it was.
func TestGoodbyeOfThrottled(t *testing.T) {
	s := open(t, func(c *Config) { c.Limits.Rate = 100 })
	listener, c := dialAs(t, s, "/", ""), dialAs(t, s, "/", "")
	for i := range 150 {
		write(t, c, fmt.Sprint(i))
	}
	go c.Close(websocket.StatusNormalClosure, "")
	for i := range 150 {
		if text := read(t, listener); !strings.Contains(text, fmt.Sprint(i)) {
			t.Fatalf("message %d is %s", i, text)
		}
	}
	await(t, "it is still there", func() bool { return s.home.connections.count()["broadcast"] == 1 })
}

// TestPerAddress: an address has so many connections and no more, of all apps
// together, until one ends, however it ends.
func TestPerAddress(t *testing.T) {
	s := open(t, func(c *Config) { c.Limits.PerAddress = 3; thisMachine(c) })
	const from = "203.0.113.7"
	a, _ := come(t, s, "/", from)
	for _, path := range []string{"/live?topic=a", "/rooms"} {
		if _, status := come(t, s, path, from); status != 101 {
			t.Fatalf("%s: %d", path, status)
		}
	}
	for range 3 {
		if _, status := come(t, s, "/", from); status != 429 {
			t.Errorf("one more: %d", status)
		}
	}
	if _, status := come(t, s, "/", "203.0.113.8"); status != 101 {
		t.Errorf("another address: %d", status)
	}
	for range 10 {
		if _, status := come(t, s, "/", ""); status != 101 {
			t.Errorf("this machine: %d", status)
		}
	}
	if info := s.home.connectionsHere("rooms", nil); len(info) != 1 || info[0].SourceIP != from {
		t.Errorf("it is listed with %v", info)
	}
	a.HangUp()
	await(t, "nobody comes in after one has gone", func() bool { _, status := come(t, s, "/", from); return status == 101 })
	if _, status := come(t, s, "/?topc=misspelt", from); status != 429 {
		t.Errorf("the limit comes first: %d", status)
	}
}

// TestPerAddressIsGivenBack: handshakes that are refused take no place, and events
// take one as long as somebody listens.
func TestPerAddressIsGivenBack(t *testing.T) {
	s := open(t, func(c *Config) {
		c.Limits.PerAddress = 1
		c.Limits.ConnectRate = 0
		c.Guard = guard(t, c)
		thisMachine(c)
	})
	const from = "203.0.113.7"
	for range 3 {
		if _, status := come(t, s, "/", from); status != 401 {
			t.Errorf("without a key: %d", status)
		}
		if _, status := come(t, s, "/live?token=key", from); status != 400 {
			t.Errorf("without a topic: %d", status)
		}
	}
	ctx, gone := context.WithCancel(t.Context())
	r, _ := http.NewRequestWithContext(ctx, "GET", "http"+strings.TrimPrefix(s.URL(), "ws")+"/live?topic=a&token=key", nil)
	r.Header.Set("Accept", "text/event-stream")
	r.Header.Set("X-Forwarded-For", from)
	events, err := http.DefaultTransport.RoundTrip(r)
	if err != nil || events.StatusCode != 200 {
		t.Fatal(events, err)
	}
	if _, status := come(t, s, "/?token=key", from); status != 429 {
		t.Errorf("beside events: %d", status)
	}
	gone()
	events.Body.Close()
	await(t, "nobody comes in after events", func() bool { _, status := come(t, s, "/?token=key", from); return status == 101 })
}

// TestConnectRate: new connections of an address come at their rate.
func TestConnectRate(t *testing.T) {
	s := open(t, func(c *Config) { c.Limits.ConnectRate = 20; thisMachine(c) })
	start, in := time.Now(), 0
	for time.Since(start) < time.Second {
		c, status := come(t, s, "/", "203.0.113.7")
		switch status {
		case 101:
			in++
			c.HangUp()
		case 429:
		default:
			t.Fatal(status)
		}
	}
	if most := 20 + int(20*time.Since(start).Seconds()) + 1; in < 35 || in > most {
		t.Errorf("%d came in within a second, want 40", in)
	}
}

// TestPlaces: a topic takes so many members and no more, and a server so many
// topics, also if all come at once.
func TestPlaces(t *testing.T) {
	for _, app := range []string{"/?topic=", "/bridge?topicName=", "/live?topic="} {
		s := open(t, func(c *Config) { c.Limits.Members, c.Limits.Topics = 5, 2 })
		want := 409
		for topic, n := range map[string]int{"a": 5, "b": 5} {
			statuses := make(chan int, 20)
			for range cap(statuses) {
				go func() { _, status := come(t, s, app+topic, ""); statuses <- status }()
			}
			in := 0
			for range cap(statuses) {
				switch status := <-statuses; status {
				case 101:
					in++
				case want:
				default:
					t.Errorf("%s%s: %d", app, topic, status)
				}
			}
			if in != n {
				t.Errorf("%s%s: %d are in it", app, topic, in)
			}
		}
		if _, status := come(t, s, app+"c", ""); status != 503 {
			t.Errorf("%sc: %d", app, status)
		}
	}
}

// TestPlacesInMessages: who subscribes later is told that there is no place.
func TestPlacesInMessages(t *testing.T) {
	s := open(t, func(c *Config) { c.Limits.Members, c.Limits.Topics = 1, 3 })
	dialAs(t, s, "/rooms?user=ann", "") // of the topic everyone
	come(t, s, "/live?topic=a", "")
	c := dialAs(t, s, "/live?topic=b", "")
	for range 1 {
		read(t, c)
	}
	for text, want := range map[string]string{`{"_join":"a"}`: `"name":"topic-full"`, `{"_join":"b"}`: `"_ready"`} {
		write(t, c, text)
		for got := ""; !strings.Contains(got, want); {
			if got = read(t, c); strings.Contains(got, "_error") && !strings.Contains(got, want) {
				t.Fatalf("%s: %s", text, got)
			}
		}
	}
	write(t, c, `{"_join":"c"}`)
	for got := ""; !strings.Contains(got, `"_ready"`); {
		got = read(t, c)
	}
	write(t, c, `{"_join":"d"}`)
	if got := read(t, c); !strings.Contains(got, `"name":"too-many-topics"`) {
		t.Error(got)
	}
	resp, err := http.Post("http"+strings.TrimPrefix(s.URL(), "ws")+"/live?topic=e", "", strings.NewReader("1"))
	if err != nil || resp.StatusCode != 503 {
		t.Errorf("over HTTP: %v, %v", resp, err)
	}
}

// signOut signs somebody out, and returns the status.
func signOut(t *testing.T, s *Server, path string) int {
	t.Helper()
	r, _ := http.NewRequestWithContext(t.Context(), "DELETE", "http"+strings.TrimPrefix(s.URL(), "ws")+path, nil)
	r.Header.Set("Authorization", "Bearer admin")
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// TestSignOut: a user who is signed out is out everywhere, and out of it for as
// long as that takes, whatever server is asked.
func TestSignOut(t *testing.T) {
	t.Run("one", func(t *testing.T) {
		s := openGuarded(t)
		testSignOut(t, s, s)
	})
	t.Run("two", func(t *testing.T) {
		_, servers := openShared(t, 2, func(c *Config) { c.Guard = guard(t, c) })
		testSignOut(t, servers[0], servers[1])
	})
}

func testSignOut(t *testing.T, here, there *Server) {
	ada, bob := token(t, access.Wish{User: "ada"}), token(t, access.Wish{User: "bob"})
	apps := []string{"/", "/rooms", "/live?topic=a"}
	var hers, others []*websocket.Conn
	for _, path := range apps {
		for _, s := range []*Server{here, there} {
			hers = append(hers, dialAs(t, s, path, ada))
			others = append(others, dialAs(t, s, path, bob))
		}
	}
	out := func(c *websocket.Conn) bool {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		for {
			_, _, err := c.Read(ctx)
			var closed websocket.CloseError
			switch {
			case errors.As(err, &closed):
				return closed.Code == 1008 && closed.Reason == "signed-out: this user was signed out"
			case err != nil:
				return false
			}
		}
	}
	if status := signOut(t, here, "/users/ada?for=1h"); status != 204 {
		t.Fatal(status)
	}
	for i, c := range hers {
		if !out(c) {
			t.Errorf("%s: it is still there", apps[i/2])
		}
	}
	for _, s := range []*Server{here, there} {
		for _, path := range apps {
			if got := status(t, s, "WS", path, ada, ways["query"]); got != 403 {
				t.Errorf("%s: %d", path, got)
			}
			if got := status(t, s, "WS", path, bob, ways["query"]); got != 101 {
				t.Errorf("bob at %s: %d", path, got)
			}
		}
		for request, want := range map[string]int{
			"POST /live?topic=a": 403, "POST /publish": 403, "GET /topics/a/state?app=live": 403, "WS /live?topic=a&user=ada": 403,
		} {
			method, path, _ := strings.Cut(request, " ")
			credential := ada
			if strings.Contains(path, "user=") {
				credential = "key" // anybody could say so
			}
			if got := status(t, s, method, path, credential, ways["header"]); got != want {
				t.Errorf("%s: %d", request, got)
			}
		}
	}
	for i, c := range others {
		if apps[i/2] == "/rooms" { // where nothing is said to everyone
			continue
		}
		write(t, c, `{"still":"there"}`)
		for text := ""; !strings.Contains(text, "still"); {
			text = read(t, c)
		}
	}
	if status := signOut(t, there, "/users/ada"); status != 204 {
		t.Fatal(status)
	}
	for _, s := range []*Server{here, there} {
		if got := status(t, s, "WS", "/live?topic=a", ada, ways["query"]); got != 101 {
			t.Errorf("when she may come back: %d", got)
		}
	}
}

// TestSignOutByConnection: one of a user's connections names the user.
func TestSignOutByConnection(t *testing.T) {
	s := openGuarded(t)
	ada := token(t, access.Wish{User: "ada"})
	a, nobody := dialAs(t, s, "/rooms", ada), dialAs(t, s, "/", "key")
	dialAs(t, s, "/", ada)
	id := func(user string) string {
		for _, info := range s.home.connectionsHere("", nil) {
			if info.User == user {
				return strings.ReplaceAll(info.ID, "=", "%3D")
			}
		}
		t.Fatalf("%q has no connection", user)
		return ""
	}
	for path, want := range map[string]int{
		"/@connections/" + id("") + "?for=10m": 409, "/@connections/" + id("ada") + "?for=soon": 400, "/@connections/" + id("ada") + "?for=-1s": 400,
		"/users/?for=10m": 400, "/users/ada?force=1": 400, "/@connections/AAAAAAAAAAAAAAA=?for=1s": 410,
	} {
		if got := signOut(t, s, path); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	write(t, nobody, "hello")
	if text := read(t, nobody); !strings.Contains(text, "hello") {
		t.Error(text)
	}
	if got := signOut(t, s, "/@connections/"+id("ada")+"?for=1s"); got != 204 {
		t.Fatal(got)
	}
	if _, _, err := a.Read(t.Context()); websocket.CloseStatus(err) != 1008 {
		t.Error(err)
	}
	if got := status(t, s, "WS", "/", ada, ways["query"]); got != 403 {
		t.Error(got)
	}
	await(t, "the second is not over", func() bool { return status(t, s, "WS", "/", ada, ways["query"]) == 101 })
}

// TestAbsentees: they are bounded, they end, and they are saved as they are.
func TestAbsentees(t *testing.T) {
	var a absentees
	now := time.UnixMilli(1_700_000_000_000)
	for i := range maxAbsentees {
		if err := a.keep(fmt.Sprint("user ", i), now, time.Duration(1+i)*time.Second); err != nil {
			t.Fatal(i, err)
		}
	}
	if err := a.keep("one more", now, time.Second); !errors.Is(err, errTooManyAbsentees) {
		t.Error(err)
	}
	if err := a.keep("user 7", now, time.Hour); err != nil {
		t.Error("somebody who is out already", err)
	}
	now = now.Add(100 * time.Second)
	if err := a.keep("one more", now, 0); err != nil {
		t.Error("only out", err)
	}
	var p, q packer
	a.save(&p, now)
	var b absentees
	u := &unpacker{rest: p}
	b.restore(u)
	b.save(&q, now)
	if u.bad || len(u.rest) > 0 || string(p) != string(q) {
		t.Error("they are not saved as they are")
	}
	if b.include("user 0", now) || b.include("user 98", now) || !b.include("user 100", now) || !b.include("user 7", now) || b.include("one more", now) {
		t.Error("others are out")
	}
}

// TestThrottledJSON: the list of connections says who is throttled, and nothing of
// those who are not.
func TestThrottledJSON(t *testing.T) {
	s := open(t, func(c *Config) { c.Limits.Rate = 1 })
	c := dialAs(t, s, "/", "")
	list := func() (rows []map[string]any) {
		resp, err := http.Get("http" + strings.TrimPrefix(s.URL(), "ws") + "/@connections")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(&rows); err != nil {
			t.Fatal(err)
		}
		return rows
	}
	if row := list()[0]; row["throttled"] != nil {
		t.Error(row)
	}
	write(t, c, "1")
	read(t, c)
	await(t, "it is not throttled", func() bool { return list()[0]["throttled"] == true })
}

// TestTopicsMakeRoom: who makes ever new topics of live keeps nobody out, and what
// others have set is not forgotten for that.
func TestTopicsMakeRoom(t *testing.T) {
	limit := func(c *Config) { c.Limits.Topics = 16 }
	t.Run("one", func(t *testing.T) {
		s := open(t, limit)
		testTopicsMakeRoom(t, s, s)
	})
	t.Run("two", func(t *testing.T) {
		_, servers := openShared(t, 2, limit)
		testTopicsMakeRoom(t, servers[0], servers[1])
	})
}

func testTopicsMakeRoom(t *testing.T, here, there *Server) {
	defer there.home.upToDate(context.Background()) // before it ends
	until := func(c *websocket.Conn, want string) (got string) {
		for !strings.Contains(got, want) {
			if got = read(t, c); strings.Contains(got, "_error") && want != "_error" {
				t.Fatalf("instead of %s: %s", want, got)
			}
		}
		return got
	}
	owner := dialAs(t, here, "/live?topic=lobby&topic=kept", "")
	write(t, owner, `{"_topic":"kept","_key":"k","x":1}`)
	until(owner, `"_key":"k"`)
	write(t, owner, `{"_leave":"kept"}`)
	until(owner, `"_leave"`)
	c := dialAs(t, here, "/live?topic=lobby", "")
	for i := range 100 {
		write(t, c, fmt.Sprintf(`{"_join":"t%d"}`, i))
		until(c, `"_ready"`)
		write(t, c, fmt.Sprintf(`{"_topic":"t%d","x":1}`, i))
		until(c, `"x":1`)
		write(t, c, fmt.Sprintf(`{"_leave":"t%d"}`, i))
		until(c, `"_leave"`)
	}
	for _, s := range []*Server{here, there} {
		if _, status := come(t, s, "/live?topic=new", ""); status != 101 {
			t.Errorf("a new topic: %d", status)
		}
		late := dialAs(t, s, "/live?topic=kept", "")
		until(late, `"_key":"k"`)
		await(t, "more topics are known than there may be", func() bool { _, n, _ := s.home.rooms.count("x"); return n <= 16+2 })
	}
	for i := range 20 { // in which somebody stays
		write(t, c, fmt.Sprintf(`{"_join":"stay%d"}`, i))
		if got := read(t, c); strings.Contains(got, "too-many-topics") {
			return
		}
		for got := ""; !strings.Contains(got, `"_ready"`); got = read(t, c) {
			if strings.Contains(got, "too-many-topics") {
				return
			}
		}
	}
	t.Error("there are any number of topics")
}
