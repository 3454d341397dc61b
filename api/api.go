package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"crier/app"
	"crier/fair"
	"crier/lambda"
)

// Options configure an API, in addition to its file.
type Options struct {
	// NewID returns ids of requests and messages.
	NewID func() string
	// Timeout bounds the time of every integration. Zero means that only the
	// file bounds it.
	Timeout time.Duration
	// Variables are given to functions, beside what crier's own environment and
	// the file say: KEY=value.
	Variables []string
	// Strict makes answers fail that API Gateway would refuse, even if their
	// meaning is clear.
	Strict bool
	// Door is an address of this machine where the management API is, with TLS
	// and without. The API's name at AWS leads functions there, or nowhere if
	// Door is empty.
	Door string
	// Files is the directory for the files that make this name lead there. If
	// it is empty, the name is not redirected.
	Files string
	// Watch makes functions reload when their files change.
	Watch bool
	// Report is called when an event has been handled, from any goroutine.
	Report func(Report)
	// Output gets what functions print, lines that belong together, from any
	// goroutine. It must not wait.
	Output func(function string, lines []string)
	Log    *slog.Logger

	invocations *lambda.InvokeAPI // nil: the API has its own
}

// A Report says what happened to an event.
type Report struct {
	Route       string // its key
	Connection  string
	Integration string // the name of the integration that handled it
	Took        time.Duration
	Status      int    // of the answer; 0 if it has none
	Body        []byte // of the answer
	Cause       error  // of a failure or a refusal
	Doubt       error  // why API Gateway may interpret the answer differently
	Event       []byte // as the integration got it; nil if it got none
	Answer      []byte // as the integration gave it; JSON unless it is faulty
}

// take notes the contents of an answer.
func (r *Report) take(said answer) {
	r.Status, r.Body, r.Doubt = said.status, said.body, said.odd
}

// A Connection is what events say about a connection.
type Connection struct {
	ID        string
	Domain    string // the host that the client asked for, with its port
	SourceIP  string
	UserAgent string
	Connected time.Time

	authorizer map[string]string // set by Connect
	pending    atomic.Int32      // messages that were handed to their handlers and are not answered yet
}

// Pending returns how many of the connection's messages are with their
// handlers.
func (c *Connection) Pending() int { return int(c.pending.Load()) }

// An API is running from [Open] to Close.
type API struct {
	file         *File
	options      Options
	integrations map[string]Integration
	authorizer   *authorizer       // or nil
	invocations  *lambda.InvokeAPI // with which functions invoke each other
	proxy        *lambda.Proxy     // of executables; nil: there are none
	client       *http.Client

	mu        sync.Mutex
	functions map[string]*lambda.Function // by name; complete when Open returns
}

// Open starts the functions of a file.
func Open(file *File, options Options) (*API, error) {
	a := &API{
		file:         file,
		options:      options,
		integrations: make(map[string]Integration),
		functions:    make(map[string]*lambda.Function),
		client: &http.Client{
			Transport: &http.Transport{MaxIdleConnsPerHost: maxConcurrency, IdleConnTimeout: time.Minute},
			// A redirection is the handler's answer: a client that is sent to a
			// login page is refused.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	var err error
	if a.invocations = options.invocations; a.invocations == nil {
		if a.invocations, err = lambda.NewInvokeAPI(a.invocable); err != nil {
			return nil, err
		}
	}
	if a.proxy, err = a.openProxy(); err != nil {
		a.Close()
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(file.Integrations)) {
		integration, err := a.open(name, file.Integrations[name])
		if err != nil {
			a.Close()
			return nil, err
		}
		a.integrations[name] = integration
	}
	if file.Authorizer != nil {
		a.authorizer = &authorizer{a.integrations[file.Authorizer.Integration], file.Authorizer.Identity}
	}
	return a, nil
}

func (a *API) open(name string, c IntegrationConfig) (Integration, error) {
	switch {
	case c.HTTP != nil:
		return a.newEndpoint(c.HTTP, readHTTP), nil
	case c.Invoke != nil:
		return a.newEndpoint(c.Invoke, readInvocation), nil
	case c.Mock != nil:
		return newMock(c.Mock), nil
	}
	f, err := lambda.Open(lambda.Config{
		Name:        name,
		Directory:   c.Lambda.Directory,
		Handler:     c.Lambda.Handler,
		Bootstrap:   c.Lambda.Bootstrap,
		Runtime:     c.Lambda.Runtime,
		Environment: a.variables(c.Lambda),
		Region:      a.file.region(c.Lambda),
		Alias:       a.alias(c.Lambda),
		Memory:      c.Lambda.Memory,
		Timeout:     c.Lambda.Timeout,
		Concurrency: c.Lambda.Concurrency,
		Watch:       a.options.Watch,
		Output:      func(lines []string) { a.options.Output(name, lines) },
		Log:         a.options.Log,
	})
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.functions[name] = f
	return f, nil
}

// function returns the function of a name, or nil.
func (a *API) function(name string) *lambda.Function {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.functions[name]
}

// invocable returns the function of a name, or nil, for an InvokeAPI of a's
// own: the function is there until Close.
func (a *API) invocable(name string) (f *lambda.Function, done func()) {
	return a.function(name), func() {}
}

// variables returns the environment of a function's processes. It begins with
// crier's own environment, without the variables that would make the process
// use the user's AWS account by mistake. Then come the variables that replace
// AWS here, and then those of the file.
func (a *API) variables(c *LambdaConfig) []string {
	var list []string
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if strings.HasPrefix(name, "CRIER_") || strings.HasPrefix(name, "AWS_") && !strings.HasPrefix(name, "AWS_ENDPOINT_URL") {
			continue
		}
		list = append(list, v)
	}
	region := a.file.region(c)
	list = append(list, "AWS_REGION="+region, "AWS_DEFAULT_REGION="+region, "TZ=:UTC")
	if _, ok := os.LookupEnv("AWS_ENDPOINT_URL_LAMBDA"); !ok && a.invocations != nil {
		list = append(list, "AWS_ENDPOINT_URL_LAMBDA="+a.invocations.URL())
	}
	if _, ok := os.LookupEnv("AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI"); !ok && a.options.Door != "" {
		list = append(list, "AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI=http://"+a.options.Door+"/"+a.file.Stage)
	}
	list = append(list, a.options.Variables...)
	// Handlers that sign requests themselves look for it. It would make the
	// user's own keys invalid.
	_, all := a.file.Environment["AWS_ACCESS_KEY_ID"]
	if _, own := c.Environment["AWS_ACCESS_KEY_ID"]; !all && !own {
		list = append(list, "AWS_SESSION_TOKEN=local")
	}
	for _, m := range []map[string]*string{a.file.Environment, c.Environment} {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			if value := m[name]; value != nil {
				list = append(list, name+"="+*value)
			} else if own, ok := os.LookupEnv(name); ok {
				list = append(list, name+"="+own)
			}
		}
	}
	return list
}

// NoStatusReason is the reason that API Gateway reports for a close frame
// without a code.
const NoStatusReason = "Client-side close frame status not set"

// Stage returns the name of the stage, which is the API's path.
func (a *API) Stage() string { return a.file.Stage }

// Close ends the functions, whatever they are doing.
func (a *API) Close() {
	var closing sync.WaitGroup
	for _, f := range a.functions {
		closing.Go(f.Close)
	}
	closing.Wait()
	if a.options.invocations == nil {
		a.invocations.Close()
	}
	if a.proxy != nil {
		a.proxy.Close()
	}
	a.client.CloseIdleConnections()
}

// An Admission says whether a handshake is accepted.
type Admission struct {
	Status   int    // 200: it is accepted; otherwise what to refuse it with
	Protocol string // the subprotocol for the 101, or nothing
	Body     []byte // of a refusal
}

// Connect asks the authorizer and the route $connect about a handshake. c must
// be used for the connection's later events.
func (a *API) Connect(ctx context.Context, c *Connection, h Handshake) Admission {
	ev := a.newEvent(c, connect, "$connect")
	ev.setHandshake(h)
	if a.authorizer != nil {
		d := a.authorize(ctx, c, ev, h)
		if d.status != http.StatusOK {
			return a.refusal(ev, d.status)
		}
		c.authorizer = d.context
		ev.RequestContext.Authorizer = d.context
	}
	ev.withoutUpgrade()
	route, ok := a.file.Routes["$connect"]
	if !ok {
		return Admission{Status: http.StatusOK}
	}
	payload, report := a.start(route.Integration, c.ID, ev)(ctx)
	var said answer
	if report.Cause == nil {
		said, report.Cause = a.read(payload)
	}
	switch {
	case errors.Is(report.Cause, context.DeadlineExceeded):
		report.Status = http.StatusGatewayTimeout
	case errors.Is(report.Cause, fair.ErrFull):
		report.Status = http.StatusTooManyRequests
	case report.Cause != nil:
		report.Status = http.StatusBadGateway
	default:
		report.take(said)
		if said.implied {
			report.Doubt = errImplied
		}
	}
	a.options.Report(report)
	if report.Status < 200 || report.Status > 299 {
		return a.refusal(ev, report.Status)
	}
	return Admission{Status: http.StatusOK, Protocol: said.protocol}
}

// errImplied is the doubt about a handshake that is accepted by {}.
var errImplied = errors.New("the answer has no statusCode: it counts as 200, as API Gateway does it for other APIs")

// read reads an answer, strictly if Options.Strict is set.
func (a *API) read(payload []byte) (answer, error) {
	said, err := parseAnswer(payload)
	if err == nil && a.options.Strict && said.odd != nil {
		return answer{}, said.odd
	}
	return said, err
}

// authorize asks the authorizer.
func (a *API) authorize(ctx context.Context, c *Connection, ev event, h Handshake) decision {
	ev = ev.forAuthorizer(fmt.Sprintf("arn:aws:execute-api:%s:%s:%s/%s/$connect", Region(), accountID, apiID, a.file.Stage))
	ctx, cancel := a.bounded(ctx)
	defer cancel()
	start := time.Now()
	d := a.authorizer.decide(ctx, ev, h)
	a.options.Report(Report{
		Route: "authorizer", Connection: c.ID, Integration: a.file.Authorizer.Integration,
		Took: time.Since(start), Status: d.status, Cause: d.cause, Event: d.event, Answer: d.answer,
	})
	return d
}

// refusal makes the answer to a handshake that is refused, with a body like
// that of the frames.
func (a *API) refusal(ev event, status int) Admission {
	if status < 200 || status > 599 { // HTTP has no other final ones
		status = http.StatusBadGateway
	}
	text := http.StatusText(status)
	switch status {
	case http.StatusBadGateway, http.StatusInternalServerError:
		text = "Internal server error"
	case http.StatusGatewayTimeout:
		text = "Endpoint request timed out"
	}
	return Admission{Status: status, Body: errorFrame(ev, text)}
}

// leavers is the origin of all $disconnect events. Together they have one turn,
// so that many clients that leave do not delay those that stay.
const leavers = "$disconnect"

// Disconnect tells the route $disconnect, if there is one, that a connection
// has ended. The route gets this event after the connection's messages.
func (a *API) Disconnect(ctx context.Context, c *Connection, code uint16, reason string) {
	route, ok := a.file.Routes["$disconnect"]
	if !ok {
		return
	}
	ev := a.newEvent(c, disconnect, "$disconnect")
	ev.setGoodbye(code, reason)
	from := leavers
	if c.Pending() > 0 {
		from = c.ID
	}
	payload, report := a.start(route.Integration, from, ev)(ctx)
	if report.Cause == nil {
		said, _ := parseAnswer(payload) // whatever it is, the client is gone
		report.Status, report.Body = said.status, said.body
	} else {
		report.Status = http.StatusBadGateway
	}
	a.options.Report(report)
}

// start hands an event of some origin to an integration. wait returns the
// integration's result.
func (a *API) start(name, from string, ev event) (wait func(context.Context) ([]byte, Report)) {
	text := ev.encode()
	start := time.Now()
	answer, err := a.integrations[name].Start(from, text)
	return func(ctx context.Context) (payload []byte, _ Report) {
		ctx, cancel := a.bounded(ctx)
		defer cancel()
		switch {
		case err != nil:
			text = nil // no integration got it
		default:
			payload, err = answer(ctx)
		}
		if errors.Is(ctx.Err(), context.DeadlineExceeded) && err != nil {
			err = fmt.Errorf("no answer within %v: %w", a.options.Timeout, err)
		}
		return payload, Report{
			Route:       ev.RequestContext.RouteKey,
			Connection:  ev.RequestContext.ConnectionID,
			Integration: name,
			Took:        time.Since(start),
			Cause:       err,
			Event:       text,
			Answer:      answerOf(payload, err),
		}
	}
}

// answerOf returns what an integration answers: a failure in Lambda's form, if
// it is one that the function told of.
func answerOf(payload []byte, err error) []byte {
	var failed *lambda.Error
	if errors.As(err, &failed) {
		payload, _ = json.Marshal(failed) // texts: it cannot fail
	}
	return payload
}

func (a *API) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if a.options.Timeout == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, a.options.Timeout)
}

// errorFrame is the answer to a client whose message could not be handled.
func errorFrame(ev event, message string) []byte {
	return app.AppendErrorFrame(nil, message, ev.RequestContext.ConnectionID, ev.RequestContext.RequestID)
}
