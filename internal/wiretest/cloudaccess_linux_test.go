package wiretest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"crier/access"
	"crier/cloud"
	"crier/internal/dynalite"
)

// A stack is one app of the home on AWS: the program as a Lambda function behind crier gateway.
type stack struct {
	t     *testing.T
	url   string
	log   func() string
	table table // in the store itself
}

func startApp(t *testing.T, app string, concurrency int, variables ...string) stack {
	t.Helper()
	return startFunction(t, function{app: app, concurrency: concurrency, variables: variables})
}

// startFunction starts a stack with a function. If that has no table yet, it gets one.
func startFunction(t *testing.T, f function) stack {
	t.Helper()
	database := f.table
	if database == "" {
		database = dynalite.Start(t)
		dynalite.CreateTable(t, database, f.app)
		f.table = database
	}
	at, log := startStack(t, f)
	return stack{t, "ws" + strings.TrimPrefix(at.String(), "http") + "/prod", log, table{t, dynalite.Client(database), f.app}}
}

// dial connects. status is that of the answer, and protocol the subprotocol that was chosen.
func (s stack) dial(query string, header http.Header, protocols ...string) (c *listener, status int, protocol string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	conn, resp, err := websocket.Dial(ctx, s.url+"?"+query, &websocket.DialOptions{HTTPHeader: header, Subprotocols: protocols})
	if resp == nil {
		s.t.Fatal(err)
	}
	if err != nil {
		return nil, resp.StatusCode, ""
	}
	s.t.Cleanup(func() { conn.CloseNow() })
	return &listener{t: s.t, conn: conn}, resp.StatusCode, conn.Subprotocol()
}

// A listener is a client of a stack.
type listener struct {
	t    *testing.T
	conn *websocket.Conn
	in   chan string // what comes, once somebody reads it by inbox
}

// inbox returns what comes. Then nothing else may read.
func (c *listener) inbox() <-chan string {
	if c.in == nil {
		c.in = make(chan string, 1000)
		go func() { // until the test closes the connection
			defer close(c.in)
			for {
				_, data, err := c.conn.Read(context.Background())
				if err != nil {
					return
				}
				c.in <- string(data)
			}
		}()
	}
	return c.in
}

func (c *listener) say(text string) {
	c.t.Helper()
	if err := c.conn.Write(c.t.Context(), websocket.MessageText, []byte(text)); err != nil {
		c.t.Fatal(err)
	}
}

// hears waits for a message that has a part, and for no other.
func (c *listener) hears(part string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	_, data, err := c.conn.Read(ctx)
	if err != nil || !strings.Contains(string(data), part) {
		c.t.Fatalf("got %s, %v; want %s", data, err, part)
	}
}

// ends waits for the end, with a code.
func (c *listener) ends(code websocket.StatusCode) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	_, data, err := c.conn.Read(ctx)
	if websocket.CloseStatus(err) != code {
		c.t.Fatalf("got %s, %v; want the code %d", data, err, code)
	}
}

// quoted are the variables of a function that says who may connect, for a crier.yaml.
func quoted(t *testing.T, a cloud.Access) (variables []string) {
	t.Helper()
	parameters, err := a.Parameters()
	if err != nil {
		t.Fatal(err)
	}
	for parameter, variable := range map[string]string{
		"KeyHashes": "CRIER_KEY_HASHES", "TokenSecrets": "CRIER_TOKEN_SECRETS", "AllowOrigins": "CRIER_ALLOW_ORIGIN",
	} {
		value, _ := json.Marshal(parameters[parameter])
		variables = append(variables, variable+": "+string(value))
	}
	return variables
}

// TestCloudKeys: with a key, the home on AWS is for its holders, and for pages that may connect.
func TestCloudKeys(t *testing.T) {
	t.Parallel()
	s := startApp(t, "broadcast", 1, quoted(t, cloud.Access{Keys: []string{"pss t"}, AllowOrigins: []string{"https://game.example.com"}})...)
	bearer := http.Header{"Authorization": {"Bearer pss t"}}
	shown := "crier.token." + base64.RawURLEncoding.EncodeToString([]byte("pss t"))
	for _, test := range []struct {
		query     string
		header    http.Header
		protocols []string
		status    int
		protocol  string
	}{
		{"", nil, nil, 401, ""},
		{"token=other", nil, nil, 401, ""},
		{"token=pss+t", nil, nil, 101, ""},
		{"", bearer, nil, 101, ""},
		{"", nil, []string{shown}, 101, shown},
		{"", nil, []string{shown, "crier"}, 101, "crier"},
		{"token=pss+t", http.Header{"Origin": {"https://game.example.com"}}, nil, 101, ""},
		{"token=pss+t", http.Header{"Origin": {"http://localhost:3000"}}, nil, 101, ""},
		{"token=pss+t", http.Header{"Origin": {"https://evil.example.com"}}, nil, 403, ""},
	} {
		c, status, protocol := s.dial(test.query, test.header, test.protocols...)
		if status != test.status || protocol != test.protocol {
			t.Errorf("?%s %v %q: got %d %q, want %d %q", test.query, test.header, test.protocols, status, protocol, test.status, test.protocol)
		}
		if c != nil {
			c.conn.CloseNow()
		}
	}
}

// TestCloudTokens: a client may do what its token says, until that expires.
func TestCloudTokens(t *testing.T) {
	t.Parallel()
	s := startApp(t, "broadcast", 1, quoted(t, cloud.Access{TokenSecrets: []string{"secret"}})...)
	in := func(w access.Wish) string {
		token, err := access.SecretSigner("secret").Sign(w, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return "topic=game-1&token=" + url.QueryEscape(token)
	}
	if _, status, _ := s.dial(in(access.Wish{Topics: []string{"other"}}), nil); status != 403 {
		t.Errorf("another topic: status %d", status)
	}
	reader, _, _ := s.dial(in(access.Wish{Topics: []string{"game-*"}, Can: []string{"hear"}}), nil)
	expires := time.Now().Add(3 * time.Second)
	writer, _, _ := s.dial(in(access.Wish{Topics: []string{"game-*"}, Can: []string{"say"}, Expires: expires}), nil)
	guest, _, _ := s.dial(in(access.Wish{Expires: expires}), nil)
	friend, _, _ := s.dial(in(access.Wish{}), nil)
	if reader == nil || writer == nil || guest == nil || friend == nil {
		t.Fatal("a token is not taken")
	}
	reader.say("may I?")
	reader.hears(`"message": "you may not say anything in the topic \"game-1\""`)
	writer.say("one")
	for _, c := range []*listener{reader, guest, friend} {
		c.hears(`{"data":"one",`)
	}
	time.Sleep(time.Until(expires) + time.Second) // what is tested is that time passes
	writer.say("two")
	writer.hears(`{"message": "expired: the token has expired"`)
	writer.ends(websocket.StatusNormalClosure)
	friend.say("three")
	guest.hears(`{"message": "expired: the token has expired"`)
	guest.ends(websocket.StatusNormalClosure)
	reader.hears(`{"data":"three",`)
	friend.hears(`{"data":"three",`)
}
