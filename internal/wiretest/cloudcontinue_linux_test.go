package wiretest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"crier/app"
)

// Asynchronous plays the part of Lambda that takes events of a function for itself, and hands them out, to crier gateway's
// function.
type asynchronous struct {
	*httptest.Server
	t    *testing.T
	mu   sync.Mutex
	n    int
	fate func(n int) string // of the nth request
	in   chan string        // events that were taken
}

func startAsynchronous(t *testing.T) *asynchronous {
	a := &asynchronous{t: t, in: make(chan string, 100)}
	a.Server = httptest.NewServer(a)
	t.Cleanup(a.Close)
	return a
}

func (a *asynchronous) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	payload, _ := io.ReadAll(r.Body)
	if kind := r.Header.Get("X-Amz-Invocation-Type"); kind != "Event" || !strings.HasSuffix(r.URL.Path, "/functions/crier/invocations") {
		a.t.Errorf("%s %s", kind, r.URL)
	}
	a.mu.Lock()
	a.n++
	fate := passed
	if a.fate != nil {
		fate = a.fate(a.n)
	}
	a.mu.Unlock()
	switch fate {
	case refused:
		w.Header().Set("X-Amzn-Errortype", "TooManyRequestsException")
		w.WriteHeader(http.StatusTooManyRequests)
	case failed:
		w.WriteHeader(http.StatusInternalServerError)
	case unheard:
		<-r.Context().Done()
	case lost:
		a.in <- string(payload)
		panic(http.ErrAbortHandler)
	default:
		a.in <- string(payload)
		w.WriteHeader(http.StatusAccepted)
	}
}

// run hands an event out, and returns what its run failed with.
func (a *asynchronous) run(at, payload string) (failure string) {
	a.t.Helper()
	resp, err := http.Post(at+"/2015-03-31/functions/crier/invocations", "application/json", strings.NewReader(payload))
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.Header.Get("X-Amz-Function-Error") != "" || resp.StatusCode != http.StatusOK {
		return string(body)
	}
	return ""
}

// An audience is a sender, and many that are in the table only: the endpoint answers for them.
type audience struct {
	t         *testing.T
	stack     stack
	endpoint  *endpoint
	lambda    *asynchronous
	processes processes
	sender    *listener

	mu    sync.Mutex
	posts map[string]int // to those
	n     int
	fate  func(n int) string // of the nth post to them
}

const absent = "absent"

// startAudience starts one of so many. The function has timeout for a run: if posts are late, it hands over in time.
func startAudience(t *testing.T, size int, timeout time.Duration) *audience {
	t.Helper()
	a := &audience{t: t, endpoint: startEndpoint(t), lambda: startAsynchronous(t), posts: make(map[string]int)}
	bootstrap, processes := watched(t, a.lambda.URL)
	a.processes = processes
	a.stack = startFunction(t, function{
		app: "broadcast", concurrency: 2, timeout: timeout, bootstrap: bootstrap, variables: []string{"CRIER_ENDPOINT: " + a.endpoint.URL + "/prod"},
	})
	a.endpoint.lead(a.stack)
	a.sender = a.stack.crowd(1)[0]
	var rows []types.WriteRequest
	for i := range size {
		id := fmt.Sprintf("%s%08d=", absent, i)
		rows = append(rows, types.WriteRequest{PutRequest: &types.PutRequest{Item: row{
			"pk": text("t#" + app.Everyone + "#0"), "sk": text(id), "exp": numeral(time.Now().Add(time.Hour).Unix()),
		}}})
	}
	for ; len(rows) > 0; rows = rows[min(25, len(rows)):] {
		batch := map[string][]types.WriteRequest{"broadcast": rows[:min(25, len(rows))]}
		if _, err := a.stack.table.db.BatchWriteItem(t.Context(), &dynamodb.BatchWriteItemInput{RequestItems: batch}); err != nil {
			t.Fatal(err)
		}
	}
	a.endpoint.from(func(_ int, id string) string {
		if strings.HasPrefix(id, absent) {
			return a.post(id)
		}
		return passed
	})
	return a
}

// post is what becomes of a post to somebody.
func (a *audience) post(id string) (fate string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.n++
	fate = taken
	if a.fate != nil {
		fate = a.fate(a.n)
	}
	if fate == taken || fate == slow {
		a.posts[id]++
	}
	return fate
}

// from decides about posts from now on.
func (a *audience) from(fate func(n int) string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.n, a.fate = 0, fate
}

// reached returns how many have the message, and how many of them twice or more.
func (a *audience) reached() (once, again int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, n := range a.posts {
		if n > 1 {
			again++
		}
	}
	return len(a.posts), again
}

// handed says x, slowly, and returns the event with which somebody else should go on.
func (a *audience) handed() (event string) {
	a.t.Helper()
	a.from(func(int) string { return slow })
	a.sender.say("x")
	select {
	case event = <-a.lambda.in:
	case <-time.After(patience):
		a.t.Fatal("nothing is handed over")
	}
	a.sender.hears(`{"data":"x",`)
	return event
}

// finish hands out events until there are none, each twice, as Lambda may. None fails.
func (a *audience) finish(event string) {
	a.t.Helper()
	for {
		for range 2 {
			if failure := a.lambda.run(a.processes.invokeURL(), event); failure != "" {
				a.t.Errorf("the rest: %s", failure)
			}
		}
		select {
		case event = <-a.lambda.in:
		default:
			return
		}
	}
}

// passALease makes it as if the minute had passed for which a task is its invocation's.
func (a *audience) passALease() {
	a.t.Helper()
	for _, r := range a.stack.table.rows() {
		if key := r["pk"].(*types.AttributeValueMemberS).Value; strings.HasPrefix(key, "r#") {
			_, err := a.stack.table.db.UpdateItem(context.Background(), &dynamodb.UpdateItemInput{
				TableName: aws.String("broadcast"), Key: row{"pk": r["pk"], "sk": r["sk"]},
				UpdateExpression: aws.String("SET lease = :past"), ExpressionAttributeValues: row{":past": numeral(time.Now().Add(-time.Second).Unix())},
			})
			if err != nil {
				a.t.Fatal(err)
			}
		}
	}
}

// TestCloudContinuation: what is left of a large audience gets the message from other runs of the function, each member once,
// also if Lambda does not answer when it is handed over, or its answer is lost, and it hands each event out twice.
func TestCloudContinuation(t *testing.T) {
	t.Parallel()
	const size = 3000
	a := startAudience(t, size, 6*time.Second)
	a.lambda.fate = func(n int) string {
		return map[int]string{1: refused, 2: lost, 3: failed}[n] // and then it is taken, for the second time
	}
	event := a.handed()
	a.from(nil)
	a.finish(event)
	if once, again := a.reached(); once != size || again != 0 {
		t.Errorf("%d of %d got it, %d of them again", once, size, again)
	}
	a.stack.settle(func() bool { return strings.Contains(a.stack.log(), "the rest is finished already") }, "an event that was handed out twice")
}

// TestCloudContinuationUnheard: Lambda never answers when a message is handed over, once. It is handed over again in time.
func TestCloudContinuationUnheard(t *testing.T) {
	t.Parallel()
	const size = 5000
	a := startAudience(t, size, 9*time.Second)
	a.lambda.fate = func(n int) string { return map[int]string{1: unheard}[n] }
	event := a.handed()
	a.from(nil)
	a.finish(event)
	if once, again := a.reached(); once != size || again != 0 {
		t.Errorf("%d of %d got it, %d of them again", once, size, again)
	}
}

// TestCloudContinuationRefused: if nobody can go on, the sender is told.
func TestCloudContinuationRefused(t *testing.T) {
	t.Parallel()
	a := startAudience(t, 3000, 6*time.Second)
	a.lambda.fate = func(int) string { return refused }
	a.from(func(int) string { return slow })
	a.sender.say("x")
	a.sender.hears(`{"data":"x",`)
	a.sender.hears(internalError)
}

// TestCloudContinuationCrash: the run that goes on crashes in the middle. The next one, a minute later, goes on where it was: at
// most 2,000 get the message twice. What comes before that is put off.
func TestCloudContinuationCrash(t *testing.T) {
	t.Parallel()
	const size = 6000
	a := startAudience(t, size, 8*time.Second)
	event := a.handed()
	a.from(func(n int) string {
		switch {
		case n < 2100:
			return taken
		case n == 2100:
			a.processes.signal(syscall.SIGKILL)
		}
		return unheard
	})
	at := a.processes.invokeURL()
	if failure := a.lambda.run(at, event); failure == "" {
		t.Fatal("it has not crashed")
	}
	a.from(nil)
	failure := a.lambda.run(at, event)
	for range 2 { // it may have met another process that was killed, and the end of that is noticed only now
		if strings.Contains(failure, "signal: killed") {
			failure = a.lambda.run(at, event)
		}
	}
	if !strings.Contains(failure, "another invocation goes on with it") {
		t.Errorf("too soon: %s", failure)
	}
	if once, _ := a.reached(); once == size {
		t.Error("all have it although it has crashed")
	}
	a.passALease()
	a.finish(event)
	once, again := a.reached()
	if once != size || again > 2000 {
		t.Errorf("%d of %d got it, %d of them again", once, size, again)
	}
	t.Logf("%d got it again", again)
	if !strings.Contains(event, `"crierRest"`) || !strings.Contains(event, `"messages"`) {
		t.Errorf("what would be in the queue does not say what is lost: %s", event)
	}
}
