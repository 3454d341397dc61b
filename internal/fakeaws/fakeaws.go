// Package fakeaws plays as much of AWS as crier deploy speaks to: STS, S3, CloudFormation and CloudWatch Logs, over HTTP,
// in memory. It creates nothing. It answers in AWS's formats and with the state changes, events and error codes that AWS
// documents, so that what a person would see on a bad day can be tested.
//
// It does not check signatures, and understands no template: what the stack's resources are is told to it.
package fakeaws

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
)

// The account and the Region that the fake is.
const (
	Account = "123456789012"
	Region  = "eu-central-1"
)

// AWS is one account in one Region.
type AWS struct {
	URL string

	// Resources are what a stack has, in the order in which they are made; Broken is the one that fails, because of Why.
	Resources   []string
	Broken, Why string
	// Stuck is how many times undoing fails too.
	Stuck bool
	// Invalid says that CloudFormation finds out about Broken when it plans.
	Invalid bool
	// Lag is how many looks at a stack show it as it was before the work that was started last.
	Lag int
	// NoIDs says that lines of logs have no ids.
	NoIDs bool
	// Renamed says that a stack has another id once it is made.
	Renamed bool
	// NoEcho are parameters whose values are not told.
	NoEcho []string
	// Steps are how many events happen between two looks at a stack.
	Steps int
	// Look, if not nil, is called before each request is answered, with its action, such as s3:PutObject.
	Look func(action string)

	mu      sync.Mutex
	calls   []string
	faults  map[string][]Fault
	buckets map[string]map[string][]byte
	stacks  []*Stack
	lines   []logLine
	number  int
}

// A Fault is an error that AWS answers with.
type Fault struct {
	Status        int
	Code, Message string
}

// Start starts an AWS with nothing in it; it stops with the test.
func Start(t testing.TB) *AWS {
	a := &AWS{
		Resources: []string{"Table", "Role", "Function", "Api", "Stage"},
		Steps:     2,
		faults:    map[string][]Fault{},
		buckets:   map[string]map[string][]byte{},
	}
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	a.URL = server.URL
	return a
}

// Deny has an action refused from now on, in the words that IAM uses.
func (a *AWS) Deny(action string) {
	a.Fail(action, slices.Repeat([]Fault{{http.StatusForbidden, "AccessDenied",
		"User: arn:aws:iam::" + Account + ":user/ann is not authorized to perform: " + action + " because no identity-based policy allows the action"}}, 100)...)
}

// Fail has an action answered with these faults, one after the other, and then as usual.
func (a *AWS) Fail(action string, faults ...Fault) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.faults[action] = append(a.faults[action], faults...)
}

// Throttled is what CloudFormation says when it is asked too often.
var Throttled = Fault{http.StatusBadRequest, "Throttling", "Rate exceeded"}

// Calls are the actions that were asked for, such as cloudformation:CreateChangeSet, in order.
func (a *AWS) Calls() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.calls)
}

// Count is how many times an action was asked for.
func (a *AWS) Count(action string) (n int) {
	for _, call := range a.Calls() {
		if call == action {
			n++
		}
	}
	return n
}

// Objects are the keys in a bucket; nil if there is no such bucket.
func (a *AWS) Objects(bucket string) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.buckets[bucket] == nil {
		return nil
	}
	return a.keys(bucket, "")
}

// Object is what is under a key.
func (a *AWS) Object(bucket, key string) []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.buckets[bucket][key]
}

// Put puts an object into a bucket, which it makes.
func (a *AWS) Put(bucket, key string, content []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.buckets[bucket] == nil {
		a.buckets[bucket] = map[string][]byte{}
	}
	a.buckets[bucket][key] = content
}

func (a *AWS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	action, answer := a.route(r)
	if a.Look != nil {
		a.Look(action)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls = append(a.calls, action)
	w.Header().Set("x-amzn-RequestId", fmt.Sprint(len(a.calls)))
	if faults := a.faults[action]; len(faults) > 0 {
		a.faults[action] = faults[1:]
		a.refuse(w, r, faults[0])
		return
	}
	if fault := answer(w, r); fault != nil {
		a.refuse(w, r, *fault)
	}
}

type answer func(http.ResponseWriter, *http.Request) *Fault

func (a *AWS) route(r *http.Request) (action string, _ answer) {
	if r.Header.Get("X-Amz-Target") == "Logs_20140328.FilterLogEvents" {
		return "logs:FilterLogEvents", a.filterLogEvents
	}
	if r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		return a.routeS3(r)
	}
	r.ParseForm()
	action = r.Form.Get("Action")
	if action == "GetCallerIdentity" {
		return "sts:" + action, a.getCallerIdentity
	}
	plays := map[string]answer{
		"DescribeStacks":      a.describeStacks,
		"DescribeStackEvents": a.describeStackEvents,
		"DescribeEvents":      a.describeEvents,
		"CreateChangeSet":     a.createChangeSet,
		"DescribeChangeSet":   a.describeChangeSet,
		"ListChangeSets":      a.listChangeSets,
		"DeleteChangeSet":     a.deleteChangeSet,
		"ExecuteChangeSet":    a.executeChangeSet,
		"DeleteStack":         a.deleteStack,
	}
	if answer, ok := plays[action]; ok {
		return "cloudformation:" + action, answer
	}
	return action, unknown
}

func unknown(http.ResponseWriter, *http.Request) *Fault {
	return &Fault{http.StatusBadRequest, "InvalidAction", "the fake does not play this"}
}

// refuse answers with a fault in the format of whoever is asked.
func (a *AWS) refuse(w http.ResponseWriter, r *http.Request, f Fault) {
	switch {
	case r.Header.Get("X-Amz-Target") != "":
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(f.Status)
		fmt.Fprintf(w, `{"__type":%q,"message":%q}`, f.Code, f.Message)
	case r.Form == nil: // S3; to HEAD it says nothing but the status
		w.WriteHeader(f.Status)
		fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", f.Code, escape(f.Message))
	default:
		w.WriteHeader(f.Status)
		fmt.Fprintf(w, "<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error></ErrorResponse>", f.Code, escape(f.Message))
	}
}

func (a *AWS) getCallerIdentity(w http.ResponseWriter, r *http.Request) *Fault {
	result(w, r, "<Account>%s</Account><Arn>arn:aws:iam::%s:user/ann</Arn><UserId>AIDA</UserId>", Account, Account)
	return nil
}

// result writes the result of an action in the query protocol.
func result(w http.ResponseWriter, r *http.Request, format string, values ...any) {
	action := r.Form.Get("Action")
	fmt.Fprintf(w, "<%sResponse><%sResult>%s</%sResult></%sResponse>", action, action, fmt.Sprintf(format, values...), action, action)
}

func escape(text string) string {
	var b []byte
	w := (*writer)(&b)
	xml.EscapeText(w, []byte(text))
	return string(b)
}

type writer []byte

func (w *writer) Write(p []byte) (int, error) { *w = append(*w, p...); return len(p), nil }
