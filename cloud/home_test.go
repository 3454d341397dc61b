package cloud

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
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

// cutOff is 200, whose body never comes.
const cutOff = -200

// A gateway plays the management API: it remembers what was posted, and answers what it is told to.
type gateway struct {
	*httptest.Server
	answer func(id string, try int) (status int) // nil: 200; 0: no answer at all

	mu    sync.Mutex
	posts map[string][]string // what each connection got
	tries map[string]int
	ended []string // connections that were closed
}

func newGateway(t *testing.T) *gateway {
	g := &gateway{posts: make(map[string][]string), tries: make(map[string]int)}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		id, _ := url.PathUnescape(strings.TrimPrefix(r.URL.EscapedPath(), "/dev/@connections/"))
		g.mu.Lock()
		if r.Method == http.MethodDelete {
			g.ended = append(g.ended, id)
			g.mu.Unlock()
			w.WriteHeader(http.StatusNoContent)
			return
		}
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
		case cutOff:
			w.Header().Set("Content-Length", "10")
			w.(http.Flusher).Flush()
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
		stride:   stride,
		log:      slog.New(slog.NewJSONHandler(h.log, nil)),
	}
	h.budget, h.now = &budget{registry: h.registry}, time.Now
	return h
}

// invoke hands an event to the handler.
func (h *testHome) invoke(kind, id, query, message string) (string, error) {
	h.t.Helper()
	return h.invokeWith(nil, kind, id, query, message)
}

// invokeWith is invoke with headers of a handshake.
func (h *testHome) invokeWith(header http.Header, kind, id, query, message string) (string, error) {
	h.t.Helper()
	values, _ := url.ParseQuery(query)
	payload, err := json.Marshal(map[string]any{
		"multiValueHeaders":               header,
		"multiValueQueryStringParameters": values,
		"body":                            message,
		"requestContext": map[string]any{
			"eventType": kind, "connectionId": id, "requestId": "request", "domainName": "abc123.example.com", "stage": "dev",
		},
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

var scanAll = &dynamodb.ScanInput{TableName: aws.String("crier"), ConsistentRead: aws.Bool(true)}

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

// logged returns the last line of the log.
func (h *testHome) logged() (line map[string]any) {
	h.t.Helper()
	lines := strings.Split(strings.TrimSpace(h.log.String()), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &line); err != nil {
		h.t.Fatal(err)
	}
	return line
}

// idOf makes a connection id of a number.
func idOf(n int) string {
	var b [12]byte
	binary.BigEndian.PutUint64(b[3:], uint64(n))
	return base64.URLEncoding.EncodeToString(b[:11])
}

var ann, bob, cat = idOf(1), idOf(2), idOf(3)
