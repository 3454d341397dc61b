package cloud

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"crier/app"
	"crier/internal/dynalite"
)

// A gateway plays the management API: it remembers what was posted, and answers what it is told to.
type gateway struct {
	*httptest.Server
	answer func(id string, try int) (status int) // nil: 200; 0: no answer at all

	mu    sync.Mutex
	posts map[string][]string // what each connection got
	tries map[string]int
}

func newGateway(t *testing.T) *gateway {
	g := &gateway{posts: make(map[string][]string), tries: make(map[string]int)}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		id, _ := url.PathUnescape(strings.TrimPrefix(r.URL.EscapedPath(), "/dev/@connections/"))
		g.mu.Lock()
		g.tries[id]++
		status := 200
		if g.answer != nil {
			status = g.answer(id, g.tries[id])
		}
		if status == 200 {
			g.posts[id] = append(g.posts[id], string(data))
		}
		g.mu.Unlock()
		switch status {
		case 0:
			<-r.Context().Done()
		case -1:
			panic(http.ErrAbortHandler)
		default:
			w.WriteHeader(status)
		}
	}))
	g.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	t.Cleanup(g.Close)
	return g
}

// take returns what a connection got since.
func (g *gateway) take(id string) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	got := g.posts[id]
	delete(g.posts, id)
	return got
}

// A testHome is a handler in front of a DynamoDB of the test's own.
type testHome struct {
	*handler
	t       *testing.T
	gateway *gateway
	log     *bytes.Buffer
	rests   [][]byte // what another invocation should go on with
}

// start implements continuer.
func (h *testHome) start(_ context.Context, payload []byte) error {
	h.rests = append(h.rests, payload)
	return nil
}

func newTestHome(t *testing.T, name string) *testHome {
	t.Helper()
	endpoint := dynalite.Start(t)
	dynalite.CreateTable(t, endpoint, "crier")
	h := &testHome{t: t, gateway: newGateway(t), log: new(bytes.Buffer)}
	h.handler = &handler{
		app:      apps[name],
		name:     name,
		endpoint: h.gateway.URL + "/dev",
		registry: &registry{db: dynalite.Client(endpoint), table: "crier"},
		poster:   newPoster(credentials.NewStaticCredentialsProvider("AKID", "secret", ""), "us-east-1"),
		again:    h,
		audience: maxAudience,
		log:      slog.New(slog.NewJSONHandler(h.log, nil)),
	}
	return h
}

// invoke hands an event to the handler.
func (h *testHome) invoke(kind, id, query, message string) (string, error) {
	h.t.Helper()
	values, _ := url.ParseQuery(query)
	payload, err := json.Marshal(map[string]any{
		"multiValueQueryStringParameters": values,
		"body":                            message,
		"requestContext":                  map[string]any{"eventType": kind, "connectionId": id, "requestId": "request"},
	})
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	answer, err := h.Invoke(ctx, payload)
	return string(answer), err
}

func (h *testHome) must(kind, id, query, message string) {
	h.t.Helper()
	if answer, err := h.invoke(kind, id, query, message); err != nil || answer != `{"statusCode":200}` {
		h.t.Fatalf("%s %s %s %s: %s, %v", kind, id, query, message, answer, err)
	}
}

// hears checks what a connection got, times apart.
func (h *testHome) hears(id string, want ...string) {
	h.t.Helper()
	got := h.gateway.take(id)
	for i := range got {
		var stamp struct {
			Now int64 `json:"_now"`
		}
		if json.Unmarshal([]byte(got[i]), &stamp); stamp.Now != 0 {
			got[i] = strings.Replace(got[i], fmt.Sprint(stamp.Now), "<NOW>", 1)
		}
	}
	if !slices.Equal(got, want) {
		h.t.Errorf("%s heard %q, want %q", id, got, want)
	}
}

// rows returns how many rows the table has.
func (h *testHome) rows() int {
	h.t.Helper()
	out, err := h.registry.db.Scan(context.Background(), scanAll)
	if err != nil {
		h.t.Fatal(err)
	}
	return int(out.Count)
}

// idOf makes a connection id of a number.
func idOf(n int) string {
	var b [12]byte
	binary.BigEndian.PutUint64(b[3:], uint64(n))
	return base64.URLEncoding.EncodeToString(b[:11])
}

var ann, bob, cat = idOf(1), idOf(2), idOf(3)

func TestBroadcast(t *testing.T) {
	h := newTestHome(t, "broadcast")
	for _, id := range []string{ann, bob, cat} {
		h.must("CONNECT", id, "", "")
	}
	h.must("MESSAGE", bob, "", "hi there")
	h.hears(ann, `{"data":"hi there","_now":<NOW>,"_me":false}`)
	h.hears(bob, `{"data":"hi there","_now":<NOW>,"_me":true}`)
	h.hears(cat, `{"data":"hi there","_now":<NOW>,"_me":false}`)
	if got := h.rows(); got != 6 {
		t.Errorf("%d rows, want two for each", got)
	}
	h.must("DISCONNECT", bob, "", "")
	h.must("DISCONNECT", bob, "", "") // twice does no harm
	h.must("MESSAGE", ann, "", `{"n":1.0}`)
	h.hears(ann, `{"n":1.0,"_now":<NOW>,"_me":true}`)
	h.hears(bob)
	if got := h.rows(); got != 4 {
		t.Errorf("%d rows, want 4", got)
	}
	if _, err := h.invoke("MESSAGE", bob, "", "x"); err == nil {
		t.Error("a stranger is heard")
	}
	if _, err := h.invoke("NONSENSE", ann, "", "x"); err == nil || !strings.Contains(err.Error(), `"NONSENSE"`) {
		t.Errorf("got %v", err)
	}
}

// TestTopics: rooms are heard by who is in them, once each, and a silent sender does not hear itself.
func TestTopics(t *testing.T) {
	h := newTestHome(t, "broadcast")
	h.must("CONNECT", ann, "topic=red&topic=blue&topic=a%23b", "")
	h.must("CONNECT", bob, "topic=blue&topic=red&echo=0", "")
	h.must("CONNECT", cat, "topicName=red", "")
	h.must("MESSAGE", ann, "", "both")
	h.hears(ann, `{"data":"both","_now":<NOW>,"_me":true}`)
	h.hears(bob, `{"data":"both","_now":<NOW>,"_me":false}`)
	h.hears(cat, `{"data":"both","_now":<NOW>,"_me":false}`)
	h.must("MESSAGE", bob, "", "quiet")
	h.hears(ann, `{"data":"quiet","_now":<NOW>,"_me":false}`)
	h.hears(bob)
	h.hears(cat, `{"data":"quiet","_now":<NOW>,"_me":false}`)
	for _, id := range []string{ann, bob, cat} {
		h.must("DISCONNECT", id, "", "")
	}
	if got := h.rows(); got != 0 {
		t.Errorf("%d rows are left", got)
	}
}

// TestEndpoint: posts go to the API's own domain, whatever domain clients come through.
func TestEndpoint(t *testing.T) {
	for _, test := range []struct{ told, domain, want string }{
		{"", "localhost:8080", "https://localhost:8080/live"},
		{"", "abc.execute-api.eu-west-1.amazonaws.com", "https://abc.execute-api.eu-west-1.amazonaws.com/live"},
		{"https://told/live", "abc.execute-api.eu-west-1.amazonaws.com", "https://abc.execute-api.eu-west-1.amazonaws.com/live"},
		{"https://told/live", "game.example.com", "https://told/live"},
	} {
		ev := &event{}
		ev.Context.DomainName, ev.Context.Stage = test.domain, "live"
		if got := (&handler{endpoint: test.told}).endpointOf(ev); got != test.want {
			t.Errorf("%+v: got %s", test, got)
		}
	}
}

func TestRooms(t *testing.T) {
	h := newTestHome(t, "rooms")
	h.must("CONNECT", ann, "user=ann", "")
	h.must("CONNECT", bob, "", "")
	h.must("MESSAGE", ann, "", `{"action":"subscribe","topic":"t"}`)
	h.must("MESSAGE", ann, "", `{"action":"subscribe","topic":"t"}`)
	h.must("MESSAGE", bob, "", `{"action":"subscribe","topic":"t"}`)
	h.must("MESSAGE", ann, "", `{"action":"broadcast","topic":"t","payload":{"x":1}}`)
	ok := `{"action":"subscribe","topic":"t","ok":true}`
	h.hears(ann, ok, ok, `{"x":1,"_topic":"t","_now":<NOW>,"_me":true}`, `{"action":"broadcast","ok":true}`)
	h.hears(bob, ok, `{"x":1,"_topic":"t","_now":<NOW>,"_me":false}`)
	h.must("MESSAGE", bob, "", `{"action":"unsubscribe","topic":"t"}`)
	h.must("MESSAGE", bob, "", `{"action":"unsubscribe","topic":"other"}`)
	h.must("MESSAGE", bob, "", `{"action":"broadcast","topic":"t","payload":{"x":2}}`)
	h.hears(ann, `{"x":2,"_topic":"t","_now":<NOW>,"_me":false}`)
	h.hears(bob, `{"action":"unsubscribe","ok":true}`, `{"action":"unsubscribe","ok":true}`, `{"action":"broadcast","ok":true}`)
	h.must("DISCONNECT", ann, "", "")
	h.must("DISCONNECT", bob, "", "")
	if got := h.rows(); got != 0 {
		t.Errorf("%d rows are left", got)
	}
}

func TestOtherApps(t *testing.T) {
	h := newTestHome(t, "bridge")
	for query, want := range map[string]string{"": "the bridge needs a topic", "topicname=t": "did you mean topicName?"} {
		if answer, err := h.invoke("CONNECT", ann, query, ""); err != nil || !strings.Contains(answer, `"statusCode":400`) || !strings.Contains(answer, want) {
			t.Errorf("with ?%s: got %s, %v", query, answer, err)
		}
	}
	h.must("CONNECT", ann, "topicName=t", "")
	h.must("CONNECT", bob, "topicName=u", "")
	h.must("MESSAGE", bob, "", `{"topic":"t", "n": 1.0}`)
	h.hears(ann, `{"topic":"t", "n": 1.0}`)
	h.must("MESSAGE", bob, "", `no`)
	if got := h.gateway.take(bob); len(got) != 1 || !strings.Contains(got[0], `, "connectionId":"`+bob+`", "requestId":"request"}`) {
		t.Errorf("got %s", got)
	}
	h.app = app.Directory{}
	h.must("CONNECT", cat, "", "")
	h.must("MESSAGE", cat, "", "who?")
	h.hears(cat, `{"Items":[{"connectionId":"`+cat+`"}],"Count":1,"ScannedCount":1}`)
}

// crowd registers n connections in the topic everyone.
func (h *testHome) crowd(n int) {
	h.t.Helper()
	expires := seconds(time.Now().Add(lifetime - time.Minute))
	var rows []types.WriteRequest
	for i := range n {
		row, membership := connectionKey(idOf(i+1)), membershipKey(app.Everyone, idOf(i+1))
		row["exp"], membership["exp"] = expires, expires
		row["topics"] = topicSet([]string{app.Everyone})
		rows = append(rows, types.WriteRequest{PutRequest: &types.PutRequest{Item: row}}, types.WriteRequest{PutRequest: &types.PutRequest{Item: membership}})
	}
	if err := h.registry.write(context.Background(), rows); err != nil {
		h.t.Fatal(err)
	}
}

// TestFiveThousand: all of many are reached, each once, and one line is logged.
func TestFiveThousand(t *testing.T) {
	h := newTestHome(t, "broadcast")
	h.crowd(5000)
	h.must("MESSAGE", ann, "", "x")
	for i := range 5000 {
		if got := len(h.gateway.take(idOf(i + 1))); got != 1 {
			t.Fatalf("connection %d was posted to %d times", i+1, got)
		}
	}
	if line := h.logged(); line["Deliveries"] != 5000.0 || line["Lost"] != 0.0 || strings.Count(h.log.String(), "\n") != 1 {
		t.Errorf("logged %s", h.log)
	}
}

// front puts something between the handler and its table. It is given each request's verb, which request of that verb it is, what
// it says, and how to carry it out, and answers it or not. front returns the table's own address.
func (h *testHome) front(answer func(w http.ResponseWriter, verb string, n int, body []byte, do func()) (answered bool)) (database string) {
	h.t.Helper()
	database = *h.registry.db.Options().BaseEndpoint
	target, err := url.Parse(database)
	if err != nil {
		h.t.Fatal(err)
	}
	var mu sync.Mutex
	calls := make(map[string]int)
	forward := httputil.NewSingleHostReverseProxy(target)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, verb, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		mu.Lock()
		calls[verb]++
		n := calls[verb]
		mu.Unlock()
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		if !answer(w, verb, n, body, func() { forward.ServeHTTP(httptest.NewRecorder(), r) }) {
			forward.ServeHTTP(w, r)
		}
	}))
	h.t.Cleanup(front.Close)
	options := h.registry.db.Options()
	options.BaseEndpoint = &front.URL
	persistent(&options)
	h.registry.db = dynamodb.New(options)
	return database
}

// TestUnrulyTable: answers that are lost or never come cost a second try, and nothing else.
func TestUnrulyTable(t *testing.T) {
	t.Parallel() // it waits
	h := newTestHome(t, "broadcast")
	h.front(func(w http.ResponseWriter, verb string, n int, _ []byte, do func()) bool {
		switch {
		case verb == "PutItem" && n == 1: // done, but not told
			do()
			w.WriteHeader(500)
			return true
		case verb == "GetItem" && n == 1: // hangs
			time.Sleep(dynamoTimeout + time.Second)
			return true
		}
		return false
	})
	h.must("CONNECT", ann, "", "")
	h.must("MESSAGE", ann, "", "x")
	h.hears(ann, `{"data":"x","_now":<NOW>,"_me":true}`)
	if err := h.registry.add(context.Background(), &app.Conn{ID: ann}, time.Now()); !errors.Is(err, errRegistered) {
		t.Errorf("the same id again: %v", err)
	}
}

// TestThrottledTable: a table that is throttled, and leaves some of a batch undone, loses nothing.
func TestThrottledTable(t *testing.T) {
	t.Parallel() // it waits
	h := newTestHome(t, "broadcast")
	database := h.front(func(w http.ResponseWriter, verb string, n int, body []byte, _ func()) (answered bool) {
		switch {
		case n%3 != 0 && verb != "BatchWriteItem":
			w.Header().Set("Content-Type", "application/x-amz-json-1.0")
			w.WriteHeader(400)
			io.WriteString(w, `{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"too fast"}`)
			return true
		case n%3 != 0: // nothing of the batch is done
			var request struct{ RequestItems json.RawMessage }
			json.Unmarshal(body, &request)
			w.Header().Set("Content-Type", "application/x-amz-json-1.0")
			fmt.Fprintf(w, `{"UnprocessedItems":%s}`, request.RequestItems)
			return true
		}
		return false
	})
	h.must("CONNECT", ann, "topic=a&topic=b", "")
	h.must("CONNECT", bob, "topic=b", "")
	h.must("MESSAGE", ann, "", "x")
	h.hears(ann, `{"data":"x","_now":<NOW>,"_me":true}`)
	h.hears(bob, `{"data":"x","_now":<NOW>,"_me":false}`)
	h.must("DISCONNECT", ann, "", "")
	h.must("DISCONNECT", bob, "", "")
	h.registry.db = dynalite.Client(database)
	if got := h.rows(); got != 0 {
		t.Errorf("%d rows are left", got)
	}
}

// TestPages: everybody is reached however small the pages are.
func TestPages(t *testing.T) {
	h := newTestHome(t, "broadcast")
	h.crowd(100)
	for _, page := range []int32{1, 7, 100, 101} {
		h.registry.page = page
		h.must("MESSAGE", idOf(50), "", "x")
		for i := range 100 {
			h.hears(idOf(i+1), fmt.Sprintf(`{"data":"x","_now":<NOW>,"_me":%v}`, i+1 == 50))
		}
	}
}

// logged returns the last line of the log.
func (h *testHome) logged() (line map[string]any) {
	h.t.Helper()
	lines := strings.Split(strings.TrimSpace(h.log.String()), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &line); err != nil {
		h.t.Fatal(err)
	}
	return line
}

// TestFaults: what is throttled or fails is tried again, only 410 removes, and all is counted.
func TestFaults(t *testing.T) {
	t.Parallel() // it waits
	h := newTestHome(t, "broadcast")
	h.crowd(200)
	gone, throttled, broken, forbidden, big, reset, hung := idOf(10), idOf(20), idOf(30), idOf(40), idOf(50), idOf(60), idOf(70)
	h.gateway.answer = func(id string, try int) int {
		switch {
		case id == gone:
			return 410
		case id == throttled && try < 4:
			return 429
		case id == broken && try < 3:
			return 500
		case id == forbidden:
			return 403
		case id == big:
			return 413
		case id == reset && try < 3:
			return -1
		case id == hung && try < 2:
			return 0
		}
		return 200
	}
	h.must("MESSAGE", ann, "", "x")
	for i := range 200 {
		id := idOf(i + 1)
		switch id {
		case gone, forbidden, big:
			h.hears(id)
		default:
			h.hears(id, fmt.Sprintf(`{"data":"x","_now":<NOW>,"_me":%v}`, id == ann))
		}
	}
	line := h.logged()
	// What was reset may have met a line that had been idle for too long, so it is tried on a new one first.
	for name, want := range map[string]float64{"Deliveries": 197, "gone": 1, "refused": 2, "Lost": 0, "Retries": 3 + 2 + 1 + 1} {
		if line[name] != want {
			t.Errorf("%s: %v, want %v", name, line[name], want)
		}
	}
	if line["level"] != "WARN" || line["msg"] != "message" || line["requestId"] != "request" || line["connectionId"] != ann {
		t.Errorf("logged %v", line)
	}
	if got := strings.Count(h.log.String(), "\n"); got != 2 {
		t.Errorf("%d lines are logged, want one for the message and one for the refusals:\n%s", got, h.log)
	}
	if got := h.rows(); got != 2*199 {
		t.Errorf("%d rows, want those of the connection that is gone removed", got)
	}
}

// TestStrange: an event that the function is not for is refused, and logged.
func TestStrange(t *testing.T) {
	var log bytes.Buffer
	h := &handler{log: slog.New(slog.NewJSONHandler(&log, nil))}
	for event, want := range map[string]string{
		`{"Records":[]}`: `an event of type "" is not from an API Gateway WebSocket API`,
		`[]`:             "read the event: json: ",
	} {
		log.Reset()
		_, err := h.Invoke(t.Context(), []byte(event))
		var line struct{ Level, Error string }
		if json.Unmarshal(log.Bytes(), &line) != nil || err == nil || line.Error != err.Error() || line.Level != "ERROR" || !strings.HasPrefix(line.Error, want) {
			t.Errorf("%s: %v; logged %s", event, err, &log)
		}
	}
}

// TestStaleLines: connections to the management API that it has closed meanwhile cost no try.
func TestStaleLines(t *testing.T) {
	h := newTestHome(t, "broadcast")
	h.crowd(200)
	for range 3 {
		h.must("MESSAGE", ann, "", "x")
		if line := h.logged(); line["Deliveries"] != 200.0 || line["Retries"] != 0.0 {
			t.Errorf("logged %v", line)
		}
		h.gateway.CloseClientConnections()
	}
}

// TestSuspect: who does not answer is tried twice, and from then on only once, for a short time, until it answers.
func TestSuspect(t *testing.T) {
	h := newTestHome(t, "broadcast")
	h.crowd(3)
	hangs := true
	h.gateway.answer = func(id string, try int) int {
		if id == cat && hangs {
			return 0
		}
		return 200
	}
	for i, c := range []struct {
		tries int
		most  time.Duration
	}{{2, postTimeout + 2*suspectTimeout}, {3, 2 * suspectTimeout}} {
		start := time.Now()
		h.must("MESSAGE", ann, "", "x")
		h.gateway.mu.Lock()
		tries := h.gateway.tries[cat]
		hangs = hangs && i == 0
		h.gateway.mu.Unlock()
		if line := h.logged(); line["Deliveries"] != 2.0 || line["Lost"] != 1.0 || tries != c.tries || time.Since(start) > c.most {
			t.Errorf("message %d: %v, %d tries, %v", i, time.Since(start), tries, line)
		}
	}
	h.must("MESSAGE", ann, "", "x")
	if line := h.logged(); line["Deliveries"] != 3.0 || line["Lost"] != 0.0 || h.poster.suspects.has(cat) {
		t.Errorf("when it answers: %v", line)
	}
	if got := h.rows(); got != 2*3 {
		t.Errorf("%d rows", got)
	}
}

// TestSlowReader: who is throttled while the others are not is tried to the end once, and from then on for a short time.
func TestSlowReader(t *testing.T) {
	t.Parallel() // it waits
	h := newTestHome(t, "broadcast")
	h.crowd(3)
	slow := true
	h.gateway.answer = func(id string, try int) int {
		if id == cat && slow {
			return 429
		}
		return 200
	}
	for i, tries := range []int{maxTries, maxTries + suspectTries} {
		h.must("MESSAGE", ann, "", "x")
		if line := h.logged(); line["Deliveries"] != 2.0 || line["Lost"] != 1.0 || h.gateway.tries[cat] != tries {
			t.Errorf("message %d: %d tries, %v", i, h.gateway.tries[cat], line)
		}
	}
	slow = false
	h.must("MESSAGE", ann, "", "x")
	if line := h.logged(); line["Deliveries"] != 3.0 || h.poster.suspects.has(cat) {
		t.Errorf("when it reads again: %v", line)
	}
}

// TestTooLong: a message that its stamps make too long is told of, and not posted.
func TestTooLong(t *testing.T) {
	h := newTestHome(t, "broadcast")
	h.crowd(2)
	h.must("MESSAGE", ann, "", strings.Repeat(`"`, maxPost/2))
	h.hears(bob)
	h.hears(ann, fmt.Sprintf(`{"message": "the message has %d bytes with its stamps, and at most %d can be sent", "connectionId":"%s", "requestId":"request"}`,
		len(`{"data":"","_now":1795251347680,"_me":false}`)+maxPost, maxPost, ann))
}

// TestNothingIsEvicted: whatever else happens, no live connection loses its rows.
func TestNothingIsEvicted(t *testing.T) {
	t.Parallel() // it waits
	h := newTestHome(t, "broadcast")
	h.crowd(50)
	h.gateway.answer = func(string, int) int { return 429 }
	start := time.Now()
	if _, err := h.invoke("MESSAGE", ann, "", "x"); err != nil {
		t.Fatal(err)
	}
	if got := h.rows(); got != 100 {
		t.Errorf("%d rows, want all 100", got)
	}
	if line := h.logged(); line["Lost"] != 50.0 || line["Deliveries"] != 0.0 || line["level"] != "WARN" {
		t.Errorf("logged %v", line)
	}
	t.Logf("gave up after %v", time.Since(start))
}

// TestNewcomers: 410 during somebody's handshake does not remove it; it is reached when the handshake is done.
func TestNewcomers(t *testing.T) {
	h := newTestHome(t, "broadcast")
	h.must("CONNECT", ann, "", "")
	h.must("CONNECT", bob, "", "")
	h.gateway.answer = func(id string, try int) int {
		if id == bob && try < 3 {
			return 410
		}
		return 200
	}
	h.must("MESSAGE", ann, "", "x")
	h.hears(bob, `{"data":"x","_now":<NOW>,"_me":false}`)
	if got := h.rows(); got != 4 {
		t.Errorf("%d rows, want 4", got)
	}
}

// TestHandOver: an audience that is too large is reached by several invocations, each member once, the sender included.
func TestHandOver(t *testing.T) {
	h := newTestHome(t, "broadcast")
	h.registry.page = 10
	h.audience = 25
	h.crowd(60)
	h.must("MESSAGE", idOf(30), "", "x")
	for len(h.rests) > 0 {
		rest := h.rests[0]
		h.rests = h.rests[1:]
		for range 2 { // Lambda may hand an event out more than once
			if _, err := h.Invoke(context.Background(), rest); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range 60 {
		h.hears(idOf(i+1), fmt.Sprintf(`{"data":"x","_now":<NOW>,"_me":%v}`, i+1 == 30))
	}
	if got := strings.Count(h.log.String(), `"msg":"message"`); got != 3 {
		t.Errorf("%d invocations, want 3:\n%s", got, h.log)
	}
	if got := strings.Count(h.log.String(), `"msg":"another invocation goes on"`); got != 2 {
		t.Errorf("%d were passed over, want 2:\n%s", got, h.log)
	}
}

// TestTime: an invocation that runs out of time hands over what is left, and an endless chain is cut and told.
func TestTime(t *testing.T) {
	h := newTestHome(t, "broadcast")
	h.crowd(20)
	ctx, cancel := context.WithTimeout(context.Background(), reserve/2) // less than what is reserved
	defer cancel()
	rested := &rest{Endpoint: h.endpoint, Topics: []string{app.Everyone}, Data: []byte("x"), Rests: 3}
	if err := h.goOn(ctx, rested); err == nil && len(h.rests) == 0 {
		t.Error("nobody goes on")
	}
	rested.Rests, rested.Request = maxRests, "another"
	h.audience = 5
	if err := h.goOn(context.Background(), rested); err == nil || !strings.Contains(err.Error(), "the audience is too large: nobody behind ") {
		t.Errorf("got %v", err)
	}
}

var scanAll = &dynamodb.ScanInput{TableName: aws.String("crier"), ConsistentRead: aws.Bool(true)}
