package cloud

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"crier/access"
	"crier/app"
	"crier/door"
)

// lifetime is how long API Gateway keeps a connection at most, and ten minutes more. Rows expire then.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
const lifetime = 2*time.Hour + 10*time.Minute

// A handler handles the events of one app.
type handler struct {
	app      app.App
	name     string // of the app
	stack    string // the dimension of metrics
	endpoint string // of the management API, for events from other domains; may be empty
	registry *registry
	gate     gate
	poster   *poster
	again    continuer
	audience int           // members that one invocation posts to at most
	window   time.Duration // in which messages to the same topics are posted together; 0: each is posted on its own
	budget   *budget
	now      func() time.Time
	stride   int // of them between two notes of how far it is
	log      *slog.Logger
}

// A continuer has another invocation of this function go on with something.
type continuer interface {
	start(ctx context.Context, payload []byte) error
}

// An event is what the function is invoked with: something from API Gateway, or a rest of a publish.
type event struct {
	Headers         map[string][]string `json:"multiValueHeaders"`
	Query           map[string][]string `json:"multiValueQueryStringParameters"`
	Body            string              `json:"body"`
	IsBase64Encoded bool                `json:"isBase64Encoded"`
	Context         struct {
		EventType    string `json:"eventType"`
		ConnectionID string `json:"connectionId"`
		RequestID    string `json:"requestId"`
		DomainName   string `json:"domainName"`
		Stage        string `json:"stage"`
		StatusCode   int    `json:"disconnectStatusCode"`
	} `json:"requestContext"`

	Rest *rest `json:"crierRest"`
}

// Invoke handles an event and returns the answer.
func (h *handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	var ev event
	if err := json.Unmarshal(payload, &ev); err != nil {
		return nil, h.reportStrange(fmt.Errorf("read the event: %w", err))
	}
	if ev.Rest != nil {
		return accepted, h.goOn(ctx, ev.Rest, rand.Text())
	}
	ctx, cancel := context.WithTimeout(ctx, maxEvent)
	defer cancel()
	switch ev.Context.EventType {
	case "CONNECT":
		return h.connect(ctx, &ev)
	case "MESSAGE":
		return accepted, h.message(ctx, &ev)
	case "DISCONNECT":
		return accepted, h.disconnect(ctx, &ev)
	}
	return nil, h.reportStrange(fmt.Errorf("an event of type %q is not from an API Gateway WebSocket API", ev.Context.EventType))
}

// maxEvent is how long an event may take: API Gateway has given up a second later. The function may run for longer, for the
// large audiences that invocations of its own go on with.
const maxEvent = 28 * time.Second

var accepted = []byte(`{"statusCode":200}`)

// connect registers a connection, unless it may not connect, or the app does not
// want it.
func (h *handler) connect(ctx context.Context, ev *event) ([]byte, error) {
	start := time.Now()
	r := ev.request(ctx)
	conn, no := h.welcome(r, ev, start)
	if no != nil {
		h.report(ev, start, "connect", nil, slog.String("refused", no.Name), slog.String("why", no.Say))
		return json.Marshal(map[string]any{"statusCode": no.Status, "body": no.Say})
	}
	err := h.registry.add(ctx, conn)
	h.spend(ctx, ev.Context.RequestID, conn.cost())
	h.report(ev, start, "connect", err, slog.Int("topics", len(conn.Topics)))
	protocol := access.Protocol(r)
	if err != nil || protocol == "" {
		return accepted, err
	}
	// "Sec-WebSocket-Protocol" is the header of an answer that API Gateway passes
	// on. Browsers that offer some end the connection if none is chosen.
	// https://docs.aws.amazon.com/apigateway/latest/developerguide/websocket-connect-route-subprotocol.html
	return json.Marshal(map[string]any{"statusCode": http.StatusOK, "headers": map[string]string{"Sec-WebSocket-Protocol": protocol}})
}

// welcome returns the connection that a handshake asks for, or why there is none.
func (h *handler) welcome(r *http.Request, ev *event, start time.Time) (*connection, *door.Refusal) {
	may, no := h.gate.admit(r, h.name)
	if no != nil {
		return nil, no
	}
	query := r.URL.Query()
	identity, no := identify(h.app, r, query, may)
	if no != nil {
		return nil, no
	}
	conn := &connection{Conn: app.Conn{ID: ev.Context.ConnectionID, Identity: identity}, expires: start.Add(lifetime), may: may}
	for _, e := range h.ask(conn, app.Event{Kind: app.Connect, Now: start.UnixMilli(), Query: query}) {
		switch e.Do {
		case app.Reject:
			no := door.Rejected.Saying(string(e.Data))
			return nil, &no
		case app.Forbid:
			no := door.Forbidden.Saying(string(e.Data))
			return nil, &no
		case app.Subscribe:
			conn.Topics = append(conn.Topics, e.Topic)
		case app.Mute:
			conn.Mute = append(conn.Mute, e.Topic)
		}
	}
	if conn.cost() == 0 {
		return conn, nil
	}
	if err := h.budget.learn(r.Context(), h.now()); err != nil {
		h.log.Error("learn what is left of the minute", "requestId", ev.Context.RequestID, "error", err)
	}
	if h.budget.left(h.now()) == 0 {
		no := door.Busy.Saying("this stack does no more in this minute: try again in the next")
		return nil, &no
	}
	return conn, nil
}

// ask returns what the app wants to happen because of an event, as far as the
// client has a right to it.
func (h *handler) ask(conn *connection, ev app.Event) []app.Effect {
	ev.Conn = &conn.Conn
	effects := h.app.Handle(nil, ev)
	if conn.may != nil {
		effects = app.Restrict(effects, ev, conn.may)
	}
	return effects
}

// errRefused says that something was not done, and that the sender knows why.
var errRefused = errors.New("refused")

// errUnknown says that the registry does not know who sends a message.
var errUnknown = errors.New("the connection is not registered")

// An errand is what a message causes.
type errand struct {
	*handler
	ev         *event
	start      time.Time
	conn       *connection // the sender
	count      counts
	published  []message
	unfinished []message   // of them: they have not been posted to all
	deliveries []*delivery // to be finished
}

// message answers a message as the app wants it.
func (h *handler) message(ctx context.Context, ev *event) error {
	e := &errand{handler: h, ev: ev, start: time.Now()}
	err := e.answer(ctx)
	for _, d := range e.deliveries {
		d.finish(ctx)
	}
	for _, m := range e.published {
		h.tellMissed(ctx, e.endpointOf(ev), m, &e.count)
	}
	for _, m := range e.unfinished {
		if m.Request != ev.Context.RequestID { // API Gateway tells that one's sender
			h.reply(ctx, e.endpointOf(ev), m, app.AppendErrorFrame(nil, "not all clients were reached: the function failed", m.Sender, m.Request))
		}
	}
	h.spend(ctx, ev.Context.RequestID, e.count.units.Load())
	h.reportMessage(ev.Context.RequestID, ev.Context.ConnectionID, e.start, len(ev.Body), &e.count, err)
	return err
}

// tellMissed tells the sender of a message how many of those who should get it did not. Clients that do not answer, or read
// too slowly, do not count: that is for them to know. Clients of ours take an error frame with a request for what became of
// the message whose copy has not come: so the request is named only if the sender's copy is among those that were missed.
func (h *handler) tellMissed(ctx context.Context, endpoint string, m message, c *counts) {
	missed, reached := c.lost.Load()+c.refused.Load(), c.delivered.Load()
	_, own := c.strayed.Load(m.Sender)
	if missed == 0 || own && missed == 1 && reached == 0 { // that one is the sender itself
		return
	}
	sentence := fmt.Sprintf("%d of %d clients were not reached", missed, missed+reached)
	if own {
		h.reply(ctx, endpoint, m, app.AppendErrorFrame(nil, sentence, m.Sender, m.Request))
		return
	}
	h.reply(ctx, endpoint, m, fmt.Appendf(nil, `{"message": "%s", "connectionId":"%s"}`, sentence, m.Sender))
}

// reply posts something about a message to its sender.
func (h *handler) reply(ctx context.Context, endpoint string, m message, text []byte) {
	d, err := h.deliver(ctx, time.Now(), toSender(endpoint, m.Request, m.Sender, text), new(counts))
	d.finish(ctx)
	if err != nil {
		h.log.Error("tell the sender", "requestId", m.Request, "error", err)
	}
}

func (e *errand) answer(ctx context.Context) (err error) {
	ev := e.ev
	e.conn, err = e.registry.get(ctx, ev.Context.ConnectionID)
	if err == nil && e.conn == nil {
		err = errUnknown
	}
	if err != nil {
		return err
	}
	e.count.units.Add(int64(e.conn.size()) / billed)
	if e.conn.over(e.start) {
		return e.expire(ctx, e.endpointOf(ev), ev.Context.RequestID, member{id: e.conn.ID})
	}
	data, binary := []byte(ev.Body), false
	if ev.IsBase64Encoded { // never from API Gateway, which takes text only
		if data, err = base64.StdEncoding.DecodeString(ev.Body); err != nil {
			return fmt.Errorf("read the message: %w", err)
		}
		binary = true
	}
	effects := e.ask(e.conn, app.Event{Kind: app.Message, Now: e.start.UnixMilli(), Data: data, Binary: binary})
	for i := range effects {
		switch err := e.do(ctx, &effects[i]); {
		case errors.Is(err, errRefused):
			return nil // the rest would say that it was done
		case err != nil:
			return err
		}
	}
	return nil
}

// do carries one effect out.
func (e *errand) do(ctx context.Context, effect *app.Effect) error {
	switch effect.Do {
	case app.Publish:
		return e.publish(ctx, effect)
	case app.Subscribe:
		if ok, err := e.afford(ctx, 2*e.conn.writes()+2); !ok {
			return err
		}
		return e.registry.subscribe(ctx, e.conn, effect.Topic)
	case app.Unsubscribe:
		if !slices.Contains(e.conn.Topics, effect.Topic) {
			return nil // which costs nothing
		}
		return e.registry.unsubscribe(ctx, e.conn, effect.Topic)
	case app.Post:
		return e.post(ctx, effect.Data)
	case app.PostMembers:
		if ok, err := e.afford(ctx, 0); !ok {
			return err
		}
		list, err := e.list(ctx, effect.Topic)
		if err != nil {
			return err
		}
		e.count.units.Add(int64(len(list)) / billed) // what is read for it is as long
		return e.post(ctx, list)
	case app.Reject, app.Forbid:
		return e.refuse(ctx, string(effect.Data))
	}
	return nil
}

func (e *errand) publish(ctx context.Context, effect *app.Effect) error {
	topics := effect.Topics
	if topics == nil {
		topics = e.conn.Topics
	}
	m := message{Request: e.ev.Context.RequestID, Sender: e.conn.ID, Data: effect.Data}
	if shareTopic(e.conn.Topics, topics) {
		m.Mine = echo(effect)
	}
	if ok, err := e.afford(ctx, int64(len(topics))/readsOf); !ok {
		return err
	}
	if longest := max(len(m.Data), len(m.Mine)); longest > maxPost {
		sentence := fmt.Sprintf("the message has %d bytes with its stamps, and at most %d can be sent", longest, maxPost)
		return cmp.Or(e.refuse(ctx, sentence), errRefused)
	}
	if e.window > 0 {
		return e.hold(ctx, topics, m)
	}
	return e.tell(ctx, topics, []message{m})
}

// tell posts messages to the members of topics.
func (e *errand) tell(ctx context.Context, topics []string, messages []message) error {
	e.published = append(e.published, messages...)
	err := e.deliver(ctx, &publication{endpoint: e.endpointOf(e.ev), request: messages[0].Request, topics: topics, messages: messages})
	if err != nil {
		e.unfinished = messages
	}
	return err
}

// post posts something to the sender.
func (e *errand) post(ctx context.Context, data []byte) error {
	return e.deliver(ctx, toSender(e.endpointOf(e.ev), e.ev.Context.RequestID, e.conn.ID, data))
}

// toSender returns a publication of something that only the sender of a request gets.
func toSender(endpoint, request, sender string, text []byte) *publication {
	return &publication{endpoint: endpoint, request: request, messages: []message{{Request: request, Sender: sender, Mine: text}}}
}

// refuse tells the sender why something is not done.
func (e *errand) refuse(ctx context.Context, sentence string) error {
	return e.post(ctx, app.AppendErrorFrame(nil, sentence, e.conn.ID, e.ev.Context.RequestID))
}

// tooMany is what senders are told if a message does not reach all because of the budget.
func (h *handler) tooMany() string {
	return fmt.Sprintf("not all clients were reached: %d messages a second are this stack's limit, on average over a minute", h.budget.rate)
}

func (e *errand) deliver(ctx context.Context, p *publication) error {
	p.most = e.audience
	if len(p.topics) > 0 {
		p.most = e.budget.audience(e.now(), p, e.audience)
	}
	d, err := e.handler.deliver(ctx, e.start, p, &e.count)
	if d != nil {
		e.deliveries = append(e.deliveries, d)
	}
	switch {
	case err != nil || d.left == nobody:
		return err
	case d.left == tooMany && p.most < e.audience:
		for _, m := range p.messages {
			told := app.AppendErrorFrame(nil, e.tooMany(), m.Sender, m.Request)
			if err := e.deliver(ctx, toSender(p.endpoint, m.Request, m.Sender, told)); err != nil {
				return err
			}
		}
		return nil
	}
	return e.handOver(ctx, p, d.reached, &e.count)
}

// echo returns what the sender of a publish gets, if it is in one of the topics;
// nothing is no message.
func echo(e *app.Effect) []byte {
	switch e.Echo {
	case app.EchoCopy:
		return e.Copy
	case app.EchoNone:
		return nil
	}
	return e.Data
}

// maxPost is how many bytes a post may have: "WebSocket API message payload: 128 KB".
// https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
const maxPost = 128 << 10

func shareTopic(a, b []string) bool {
	for _, x := range a {
		for _, y := range b {
			if x == y {
				return true
			}
		}
	}
	return false
}

// list returns the list of a topic's members, as the directory app tells it.
func (h *handler) list(ctx context.Context, topic string) ([]byte, error) {
	var ids []string
	for m, err := range h.registry.members(ctx, []string{topic}, "") {
		if err != nil {
			return nil, err
		}
		if m.over(time.Now()) {
			continue
		}
		if len(ids) == app.MaxMembers {
			return app.AppendMembers(nil, ids, true), nil
		}
		ids = append(ids, m.id)
	}
	return app.AppendMembers(nil, ids, false), nil
}

// disconnect forgets a connection.
func (h *handler) disconnect(ctx context.Context, ev *event) error {
	start := time.Now()
	err := h.registry.remove(ctx, ev.Context.ConnectionID, nil)
	h.report(ev, start, "disconnect", err, slog.Int("code", ev.Context.StatusCode))
	return err
}

// endpointOf returns where the management API is: at the API's own domain, which an event names, unless clients come through
// another one. Then the stack tells the place, if there is a stack.
func (h *handler) endpointOf(ev *event) string {
	if h.endpoint != "" && !strings.Contains(ev.Context.DomainName, ".execute-api.") {
		return h.endpoint
	}
	return "https://" + ev.Context.DomainName + "/" + ev.Context.Stage
}
