package wiretest

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"crier/internal/dynalite"
)

// A store is between a stack's function and its table, and decides what becomes of requests.
type store struct {
	*httptest.Server
	target *url.URL

	mu   sync.Mutex
	fate func(verb string, n int) string // of the nth request of this verb; nil: passed
	n    map[string]int
}

// What becomes of a request to the table; and passed, unheard and lost, as of posts.
const (
	throttled = "throttled"
	failed    = "refused with 500"
	garbled   = "answered with a page"
	cutOff    = "passed on, and its answer is cut off"
	late      = "passed on, and answered after two seconds"
)

// startStore starts a table store with a table, and something before it.
func startStore(t *testing.T, name string) (s *store, direct table) {
	t.Helper()
	database := dynalite.Start(t)
	dynalite.CreateTable(t, database, name)
	target, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	s = &store{target: target, n: make(map[string]int)}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s, table{t, dynalite.Client(database), name}
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, verb, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	body, _ := io.ReadAll(r.Body) // only then it is noticed that the other end has had enough
	r.Body = io.NopCloser(bytes.NewReader(body))
	fate := s.next(verb)
	forward := httputil.NewSingleHostReverseProxy(s.target)
	switch fate {
	case throttled:
		refusal := []byte(`{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException","message":"too fast"}`)
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.Header().Set("X-Amz-Crc32", fmt.Sprint(crc32.ChecksumIEEE(refusal)))
		w.WriteHeader(http.StatusBadRequest)
		w.Write(refusal)
	case failed:
		w.WriteHeader(http.StatusInternalServerError)
	case garbled:
		w.WriteHeader(http.StatusOK)
		io.WriteString(w, "<html>")
	case unheard:
		<-r.Context().Done()
	case lost:
		forward.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	case cutOff:
		answer := httptest.NewRecorder()
		forward.ServeHTTP(answer, r)
		w.Header().Set("Content-Length", strconv.Itoa(answer.Body.Len()))
		w.Write(answer.Body.Bytes()[:answer.Body.Len()/2])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	case late:
		time.Sleep(2 * time.Second) // what is tested is that time passes
		forward.ServeHTTP(w, r)
	default:
		forward.ServeHTTP(w, r)
	}
}

func (s *store) next(verb string) (fate string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n[verb]++
	if s.fate == nil {
		return passed
	}
	return s.fate(verb, s.n[verb])
}

// from decides about requests from now on.
func (s *store) from(fate func(verb string, n int) string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n, s.fate = make(map[string]int), fate
}

// A table is a stack's table, in the store itself.
type table struct {
	t    *testing.T
	db   *dynamodb.Client
	name string
}

// A row is one of a table.
type row = map[string]types.AttributeValue

// rows returns all that is in the table, but not what counts minutes.
func (b table) rows() (rows []row) {
	b.t.Helper()
	for out := (&dynamodb.ScanOutput{}); ; {
		var err error
		if out, err = b.db.Scan(context.Background(), &dynamodb.ScanInput{TableName: &b.name, ExclusiveStartKey: out.LastEvaluatedKey}); err != nil {
			b.t.Fatal(err)
		}
		rows = append(rows, out.Items...)
		if out.LastEvaluatedKey == nil {
			return rows
		}
	}
}

// put writes a row.
func (b table) put(r row) {
	b.t.Helper()
	if _, err := b.db.PutItem(context.Background(), &dynamodb.PutItemInput{TableName: &b.name, Item: r}); err != nil {
		b.t.Fatal(err)
	}
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func numeral(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

// startTabled starts the broadcast app, whose function finds its table through a store.
func startTabled(t *testing.T, concurrency int) (stack, *store) {
	t.Helper()
	between, direct := startStore(t, "broadcast")
	s := startFunction(t, function{app: "broadcast", table: between.URL, concurrency: concurrency})
	s.table = direct
	return s, between
}

// internalError is what API Gateway tells the sender of a message whose function failed.
const internalError = `{"message": "Internal server error", "connectionId":"`

// TestCloudTable: the table is throttled, or answers late, wrongly or never, for a while. Nothing is lost or doubled, and nobody
// is told, because all is as it should be.
func TestCloudTable(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		fate  string
		times int // in a row
		verbs string
	}{
		{throttled, 3, ""}, {failed, 3, ""}, {garbled, 3, ""}, {late, 1, "PutItem Query"}, {unheard, 1, "PutItem Query"},
		// A row that was deleted is not there the second time, and what it was for is not known: a post finds out later.
		{lost, 2, "PutItem BatchWriteItem GetItem Query"}, {cutOff, 2, "PutItem BatchWriteItem GetItem Query"},
	} {
		t.Run(test.fate, func(t *testing.T) {
			t.Parallel()
			s, between := startTabled(t, 1)
			ann := s.crowd(1)[0]
			between.from(func(verb string, n int) string {
				if n <= test.times && (test.verbs == "" || strings.Contains(test.verbs, verb)) {
					return test.fate
				}
				return passed
			})
			bob, status, _ := s.dial("", nil)
			if bob == nil {
				t.Fatalf("status %d", status)
			}
			for _, text := range []string{"now", "next"} {
				ann.say(text)
				ann.hears(`{"data":"` + text + `",`)
				bob.hears(`{"data":"` + text + `",`)
			}
			bob.conn.CloseNow()
			s.settle(func() bool { return len(s.table.rows()) == 2 }, "the rows of one connection")
			if strings.Contains(s.log(), "ERROR") {
				t.Error("errors were logged")
			}
		})
	}
}

// settle waits until something holds.
func (s stack) settle(holds func() bool, what string) {
	s.t.Helper()
	for start := time.Now(); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Since(start) > 3*patience {
			s.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// TestCloudTableDown: the table is throttled for longer than the function has patience. A message is lost, and its sender is
// told; a handshake is refused; of a client that leaves then, the rows stay until a post finds out.
func TestCloudTableDown(t *testing.T) {
	t.Parallel()
	s, between := startTabled(t, 4)
	clients := s.crowd(3)
	ann, bob, cat := clients[0], clients[1], clients[2]
	always := func(string, int) string { return throttled }

	between.from(func(verb string, _ int) string {
		if verb == "Query" {
			return throttled
		}
		return passed
	})
	ann.say("who is there is not known")
	ann.hears(`{"data":"who is there is not known",`) // its own copy
	ann.hears(internalError)

	between.from(always)
	ann.say("who I am is not known")
	cat.conn.CloseNow()
	if _, status, _ := s.dial("", nil); status != http.StatusBadGateway {
		t.Errorf("a handshake that cannot be registered: status %d", status)
	}
	ann.hears(internalError)
	s.settle(func() bool { return strings.Contains(s.log(), "remove the connection") }, "a disconnect that is not noted")

	between.from(nil)
	if rows := s.table.rows(); len(rows) != 6 {
		t.Errorf("%d rows, want those of three connections", len(rows))
	}
	for _, r := range s.table.rows() { // as if all had been there for a while: newcomers get time
		r["exp"] = numeral(time.Now().Add(time.Hour).Unix())
		s.table.put(r)
	}
	ann.say("after all")
	ann.hears(`{"data":"after all",`)
	bob.hears(`{"data":"after all",`)
	s.settle(func() bool { return len(s.table.rows()) == 4 }, "the rows of the client that has left to go")
	for _, want := range []string{`look up who is in a topic`, `look the connection up`, `register the connection`, `"level":"ERROR"`} {
		if !strings.Contains(s.log(), want) {
			t.Errorf("the log has no %q", want)
		}
	}
	ann.say("last")
	ann.hears(`{"data":"last",`) // and nothing about those that were missed
	bob.hears(`{"data":"last",`)
}

// TestCloudTableNeverAnswers: the function gives up before API Gateway does, and its next run finds a table that answers.
func TestCloudTableNeverAnswers(t *testing.T) {
	t.Parallel()
	between, direct := startStore(t, "broadcast")
	s := startFunction(t, function{app: "broadcast", table: between.URL, concurrency: 1, timeout: 5 * time.Second})
	s.table = direct
	ann := s.crowd(1)[0]
	between.from(func(string, int) string { return unheard })
	ann.say("x")
	ann.hears(internalError)
	between.from(nil)
	ann.say("y")
	ann.hears(`{"data":"y",`)
}

// TestCloudDeliveries: clients get no more in a minute than --deliveries, and senders are told.
func TestCloudDeliveries(t *testing.T) {
	t.Parallel()
	s := startApp(t, "broadcast", 1, "CRIER_DELIVERIES: 1")
	clients := s.crowd(5)
	if late := time.Now().Unix()%60 - 40; late > 0 { // one minute must be enough for what follows
		time.Sleep(time.Duration(20-late+1) * time.Second)
	}
	for minute := time.Now().Unix() / 60; minute < time.Now().Unix()/60+5; minute++ { // three are left of each
		s.table.put(row{"pk": text("s#" + strconv.FormatInt(minute, 10)), "sk": text("s"), "sent": numeral(57)})
	}
	clients[0].say("one")
	got := map[bool]int{}
	for range 2 {
		got[clients[0].hearsWithin(`"one"`, patience)]++
	}
	if got[true] != 1 || got[false] != 1 {
		t.Errorf("the sender got %v", got)
	}
	heard := 0
	for _, c := range clients[1:] {
		if c.hearsWithin(`{"data":"one",`, time.Second) {
			heard++
		}
	}
	if heard != 3 {
		t.Errorf("%d of the others got it, want 3", heard)
	}
	clients[0].say("two")
	if !clients[0].hearsWithin(`{"message": "this stack sends no more messages in this minute: 1 a second are its limit, on average", `, patience) {
		t.Error("the sender is not told")
	}
	for _, c := range clients[1:] {
		if c.hearsWithin(`two`, 100*time.Millisecond) {
			t.Error("another client got it")
		}
	}
}
