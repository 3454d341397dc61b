package cloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"crier/access"
	"crier/app"
	"crier/internal/dynalite"
)

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
			time.Sleep(answerTimeout + time.Second)
			return true
		}
		return false
	})
	h.must("CONNECT", ann, "", "")
	h.must("MESSAGE", ann, "", "x")
	h.hears(ann, `{"data":"x","_now":<NOW>,"_me":true}`)
	if err := h.registry.add(context.Background(), &connection{Conn: app.Conn{ID: ann}, expires: time.Now()}); !errors.Is(err, errRegistered) {
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
	if got := strings.Count(h.log.String(), `"msg":"the rest is finished already"`); got != 2 {
		t.Errorf("%d were passed over, want 2:\n%s", got, h.log)
	}
}

// TestTime: an invocation that runs out of time hands over what is left, and an endless chain is cut and told.
func TestTime(t *testing.T) {
	h := newTestHome(t, "broadcast")
	h.crowd(20)
	ctx, cancel := context.WithTimeout(context.Background(), reserve/2) // less than what is reserved
	defer cancel()
	rested := &rest{Endpoint: h.endpoint, Topics: []string{app.Everyone}, Messages: []message{{Sender: "nobody", Data: []byte("x")}}, Rests: 3}
	if err := h.goOn(ctx, rested, "one"); err == nil && len(h.rests) == 0 {
		t.Error("nobody goes on")
	}
	rested.Rests, rested.Request = maxRests, "another"
	h.audience = 5
	if err := h.goOn(context.Background(), rested, "two"); err == nil || !strings.Contains(err.Error(), "the audience is too large: nobody after ") {
		t.Errorf("got %v", err)
	}
}

// TestCrash: an invocation for the rest of a large audience dies. When its event comes again, too soon, it is put off; a
// minute later it goes on where the other one had got to. At most a stride gets the message twice.
func TestCrash(t *testing.T) {
	h := newTestHome(t, "broadcast")
	h.registry.page, h.stride = 10, 10
	h.crowd(60)
	var ids []string // in their order
	for i := range 60 {
		ids = append(ids, idOf(i+1))
	}
	slices.Sort(ids)
	rested := &rest{Endpoint: h.endpoint, Request: "request", Topics: []string{app.Everyone}, After: ids[4], Messages: []message{{Sender: "nobody", Data: []byte("x")}}, Rests: 1}
	h.front(func(w http.ResponseWriter, verb string, n int, body []byte, _ func()) bool {
		if verb == "UpdateItem" && n == 1+3 { // the third note of how far it is never arrives
			w.WriteHeader(400)
			return true
		}
		return false
	})
	if err := h.goOn(t.Context(), rested, "one"); err == nil {
		t.Fatal("it has not died")
	}
	if err := h.goOn(t.Context(), rested, "two"); !errors.Is(err, errTaken) {
		t.Errorf("too soon: %v", err)
	}
	expire := &dynamodb.UpdateItemInput{ // as if a minute had passed
		TableName: &h.registry.table, Key: item{"pk": text("r#request#1#" + ids[4]), "sk": text("r")},
		UpdateExpression: aws.String("SET lease = :past"), ExpressionAttributeValues: item{":past": seconds(time.Now().Add(-time.Second))},
	}
	if _, err := h.registry.db.UpdateItem(t.Context(), expire); err != nil {
		t.Fatal(err)
	}
	for range 2 { // and then once more, which does no harm
		if err := h.goOn(t.Context(), rested, "three"); err != nil {
			t.Errorf("a minute later: %v", err)
		}
	}
	for i, id := range ids {
		n := len(h.gateway.take(id))
		if n < min(1, i/5) || n > 1 && (i < 5+20 || i >= 5+30) {
			t.Errorf("connection %d got it %d times", i, n)
		}
	}
}

// TestHandedTwice: an invocation dies when it has just handed over. Its second run hands over the same again, and nobody gets
// the message twice.
func TestHandedTwice(t *testing.T) {
	h := newTestHome(t, "broadcast")
	h.stride, h.audience = 10, 20
	h.crowd(50)
	rested := &rest{Endpoint: h.endpoint, Request: "request", Topics: []string{app.Everyone}, Messages: []message{{Sender: "nobody", Data: []byte("x")}}, Rests: 1}
	h.front(func(w http.ResponseWriter, verb string, _ int, body []byte, _ func()) bool {
		if verb == "UpdateItem" && strings.Contains(string(body), "SET finished") && len(h.rests) == 1 {
			w.WriteHeader(400) // as if it had died
			return true
		}
		return false
	})
	if err := h.goOn(t.Context(), rested, "one"); err == nil {
		t.Fatal("it has not died")
	}
	if err := h.goOn(t.Context(), rested, "one"); err != nil { // whose lease it is
		t.Fatal(err)
	}
	if len(h.rests) != 2 || string(h.rests[0]) != string(h.rests[1]) {
		t.Fatalf("handed over: %s", h.rests)
	}
	for len(h.rests) > 0 {
		next := h.rests[0]
		h.rests = h.rests[1:]
		if _, err := h.Invoke(t.Context(), next); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 50 {
		h.hears(idOf(i+1), "x")
	}
}

// TestJustSubscribed: whoever has just come is reached, although a table's eventually consistent answers do not know of it yet.
func TestJustSubscribed(t *testing.T) {
	h := newTestHome(t, "rooms")
	h.front(func(w http.ResponseWriter, verb string, _ int, body []byte, _ func()) (answered bool) {
		var request struct{ ConsistentRead bool }
		json.Unmarshal(body, &request)
		if verb != "Query" || request.ConsistentRead {
			return false
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		io.WriteString(w, `{"Count":0,"ScannedCount":0,"Items":[]}`)
		return true
	})
	for _, id := range []string{ann, bob} {
		h.must("CONNECT", id, "", "")
		h.must("MESSAGE", id, "", `{"action":"subscribe","topic":"t"}`)
		h.hears(id, `{"action":"subscribe","topic":"t","ok":true}`)
	}
	h.must("MESSAGE", ann, "", `{"action":"broadcast","topic":"t","payload":{"x":1}}`)
	h.hears(bob, `{"x":1,"_topic":"t","_now":<NOW>,"_me":false}`)
}

// TestLateTable: the table says so late who is in a topic that no time is left. Another invocation goes on from the beginning,
// and the message is not lost.
func TestLateTable(t *testing.T) {
	h := newTestHome(t, "broadcast")
	h.crowd(20)
	h.budget.rate = 100 // less than an audience may have
	ctx, cancel := context.WithTimeout(t.Context(), reserve+reserve/2)
	defer cancel()
	p := &publication{endpoint: h.endpoint, request: "request", topics: []string{app.Everyone}, messages: []message{{Request: "request", Sender: "nobody", Data: []byte("x")}}}
	ev := new(event)
	ev.Context.RequestID = "request"
	e := &errand{handler: h.handler, ev: ev, start: time.Now(), conn: &connection{Conn: app.Conn{ID: "nobody"}}}
	if err := e.deliver(ctx, p); err != nil || len(h.rests) != 1 {
		t.Fatalf("%v; %d go on", err, len(h.rests))
	}
	if _, err := h.Invoke(t.Context(), h.rests[0]); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		h.hears(idOf(i+1), "x")
	}
}

// TestExpiredMeanwhile: a token that expires while a message is on its way to a large audience ends what its client hears,
// however long ago the message's invocation began.
func TestExpiredMeanwhile(t *testing.T) {
	h := newTestHome(t, "broadcast")
	h.must("CONNECT", bob, "", "")
	c := &connection{Conn: app.Conn{ID: ann, Topics: []string{app.Everyone}}, expires: time.Now().Add(lifetime), may: &access.Grant{Expires: time.Now().Add(-time.Second)}}
	if err := h.registry.add(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	p := &publication{endpoint: h.endpoint, request: "request", rests: 1, most: 10, topics: []string{app.Everyone}, messages: []message{{Sender: "nobody", Data: []byte("x")}}}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	d, err := h.deliver(ctx, time.Now().Add(-time.Minute), p, new(counts))
	d.finish(ctx)
	if err != nil {
		t.Fatal(err)
	}
	h.hears(bob, "x")
	h.hears(ann, `{"message": "expired: the token has expired", "connectionId":"`+ann+`", "requestId":"request"}`)
	if !slices.Equal(h.gateway.ended, []string{ann}) {
		t.Errorf("closed %q", h.gateway.ended)
	}
}
