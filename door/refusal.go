package door

import (
	"encoding/json"
	"net/http"
	"strings"

	"crier/ws"
)

// A Refusal is one way in which crier refuses something. The table below is the
// only place where the refusals are written: the client's answer, the log, the
// metric's label and docs/limits.md are made from it.
type Refusal struct {
	Name   string // label of the metric, attribute of the log
	Status int    // of the HTTP answer; 0 if it closes a connection
	Code   uint16 // of the close frame; 0 if it answers a request
	Say    string // the sentence for the client, unless Saying replaces it
	AWS    bool   // of a close: Say is API Gateway's sentence and is sent without Name
	Type   string // x-amzn-ErrorType, for clients of the management API
	Why    string // for docs/limits.md
	Body   []byte // JSON that the client gets instead of Say
}

// Refusals of handshakes.
var (
	NotFound           = Refusal{Name: "not-found", Status: 404, Say: "nothing is served at this path", Why: "The path is none of the apps'; the answer lists what is served."}
	UpgradeRequired    = Refusal{Name: "upgrade-required", Status: 426, Say: "this is a WebSocket", Why: "A plain HTTP request to an app, or a WebSocket version other than 13."}
	BadHandshake       = Refusal{Name: "bad-handshake", Status: 400, Say: "this is not a WebSocket handshake", Why: "RFC 6455, section 4.2.1, is not followed."}
	Rejected           = Refusal{Name: "rejected", Status: 400, Say: "the app does not take this connection", Why: "The app says why, such as a bridge without `?topicName=`, or a parameter that is probably misspelt."}
	ForeignOrigin      = Refusal{Name: "foreign-origin", Status: 403, Say: "pages of this origin may not connect; crier serve --allow-origin permits it", Why: "A browser's page that is not at home here ([running.md](running.md#pages)), and not allowed by `--allow-origin`."}
	TooManyConnections = Refusal{Name: "too-many-connections", Status: 503, Say: "there are as many connections as the server takes; try again later", Why: "`--max-connections` are open."}
	NoCredential       = Refusal{Name: "no-credential", Status: 401, Say: "this server wants a key or a token: ?token=KEY, Authorization: Bearer KEY, or a subprotocol (docs/access.md)", Type: "UnauthorizedException", Why: "`--key`, or one of the flags for tokens, is set, and the client shows nothing. With `--guests`: it wants a name, or to publish."}
	WrongKey           = Refusal{Name: "wrong-key", Status: 401, Say: "this is no key of the server", Type: "UnauthorizedException", Why: "What the client shows is no key of the server, and no token."}
	BadToken           = Refusal{Name: "bad-token", Status: 401, Say: "the token is not valid", Type: "UnauthorizedException", Why: "The token has expired, is for somebody else, or nobody that the server knows has signed it; the sentence says which."}
	Unchecked          = Refusal{Name: "unchecked", Status: 503, Say: "clients cannot be checked at the moment", Type: "ServiceUnavailableException", Why: "The server of `--token-jwks` has not answered yet, or the one of `--authorize` does not, or says nothing that can be used."}
	NotKnown           = Refusal{Name: "not-known", Status: 401, Say: "the service that decides about clients does not know this one", Type: "UnauthorizedException", Why: "The service of `--authorize` has answered 401; the sentence is its own."}
	NoConnection       = Refusal{Name: "no-connection", Status: 403, Say: "this key is for publishing over HTTP only", Type: "ForbiddenException", Why: "A publish key opens no connection, and does not listen."}
	Forbidden          = Refusal{Name: "forbidden", Status: 403, Say: "the key or token of the request does not allow this", Type: "ForbiddenException", Why: "The client may not `hear` one of these topics, or not `say` anything in it; its token is of another user than `?user=`; or the service of `--authorize` has answered 403."}
	KeptOut            = Refusal{Name: "kept-out", Status: 403, Say: "this user was signed out, and has to wait", Type: "ForbiddenException", Why: "`DELETE /users/{user}?for=10m`, and the time is not over."}
	TooManyOfAddress   = Refusal{Name: "address-full", Status: 429, Say: "your address has as many connections as one may have; try again later", Why: "`--max-per-address` connections of one address are open. Of IPv6 addresses the first 64 bits count; those over localhost are not counted."}
	TooFastOfAddress   = Refusal{Name: "address-fast", Status: 429, Say: "connections come too fast from your address; try again later", Why: "More new connections of one address than `--connect-rate`, after a burst of one second."}
	TopicFull          = Refusal{Name: "topic-full", Status: 409, Say: "the topic has as many members as it may have", Why: "`--max-members` are in the topic, on this server."}
	TooManyTopics      = Refusal{Name: "too-many-topics", Status: 503, Say: "there are as many topics as there may be; try again later", Why: "`--max-topics` topics, on this server."}
	HandlerRefused     = Refusal{Name: "handler-refused", Status: 403, Say: "the handler does not take this connection", Why: "`crier gateway`: what `$connect` or the authorizer answered, with its status; 502 if `$connect` failed, 504 if it took too long, 429 if too many handshakes wait."}
	TwoLengths         = Refusal{Name: "two-lengths", Status: 400, Say: "a request has a Content-Length or a Transfer-Encoding, not both", Why: "Proxies and servers may disagree where such a request ends. The connection is closed."}
	NotReady           = Refusal{Name: "not-ready", Status: 503, Say: "this server waits for the others; try again later", Why: "With several servers: this one has not found the others yet, or has lost them. `/readyz` says which."}
	ShuttingDown       = Refusal{Name: "shutting-down", Status: 503, Say: "the server is going away; try again later", Why: "The server is draining."}
)

// Refusals of the management API. Where API Gateway's @connections has the same
// refusal, they are the same.
var (
	Unauthorized     = Refusal{Name: "unauthorized", Status: 401, Say: "this needs the admin key: Authorization: Bearer KEY", Type: "UnauthorizedException", Why: "There is an admin key, and the request has none, or a wrong one."}
	NotManaging      = Refusal{Name: "not-managing", Status: 403, Say: "this needs the admin key; the key or token of the request is for less", Type: "ForbiddenException", Why: "The request has a key or a token of clients, and wants to manage."}
	NoKey            = Refusal{Name: "no-key", Status: 401, Say: "this server has no admin key, so that only programs of its own machine may manage it", Type: "NoAdminKeyException", Why: "There is no admin key. The request has one, or is not directly from a program of this machine: the message says how that shows."}
	ForeignPage      = Refusal{Name: "foreign-page", Status: 403, Say: "no page may manage this server but its own", Type: "ForbiddenException", Why: "There is no admin key, and the request is from a browser's page that is not crier's own on this machine."}
	Unsigned         = Refusal{Name: "unsigned", Status: 403, Say: "Missing Authentication Token", Type: "MissingAuthenticationTokenException", Why: "`--access-key` is set, and the request has no signature."}
	UnknownKey       = Refusal{Name: "unknown-key", Status: 403, Say: "The security token included in the request is invalid.", Type: "UnrecognizedClientException", Why: "The request is signed with another access key than `--access-key`."}
	BadSignature     = Refusal{Name: "bad-signature", Status: 403, Say: "The request signature we calculated does not match the signature you provided.", Type: "InvalidSignatureException", Why: "The signature is wrong, too old, or for another service; the message says which, and what should have been signed."}
	WrongStage       = Refusal{Name: "wrong-stage", Status: 403, Say: "Forbidden", Type: "ForbiddenException", Why: "`crier gateway`: the path begins with something else than the stage or `@connections`."}
	MethodNotAllowed = Refusal{Name: "method-not-allowed", Status: 405, Say: "this path does not know this method", Why: "See the header Allow."}
	InvalidID        = Refusal{Name: "invalid-id", Status: 400, Say: "Invalid connectionId: ", Type: "BadRequestException", Why: "Not 16 characters of padded base64url."}
	Gone             = Refusal{Name: "gone", Status: 410, Type: "GoneException", Why: "No such connection, now or ever. The body is empty, as API Gateway's is."}
	CutShort         = Refusal{Name: "cut-short", Status: 400, Say: "the request ended early", Type: "BadRequestException", Why: "The connection ended in the middle of a body."}
	TooLarge         = Refusal{Name: "payload-too-large", Status: 413, Say: "the message is larger than the limit", Type: "PayloadTooLargeException", Why: "More than `--max-message` bytes, or than `--memory` can ever hold."}
	Full             = Refusal{Name: "buffer-full", Status: 429, Say: "the connection's buffer is full", Type: "LimitExceededException", Why: "The connection does not read what is posted to it: 256 KiB, or two of the largest messages, wait."}
	Busy             = Refusal{Name: "busy", Status: 503, Say: "the server is busy; try again", Why: "A publish would have overrun readers that keep up, and they did not catch up in time."}
	BadMessage       = Refusal{Name: "bad-message", Status: 400, Say: "the message is not understood", Type: "BadRequestException", Why: "A message to live with members that cannot be; the sentence says which."}
	StateFull        = Refusal{Name: "state-full", Status: 409, Say: "the topic has as much state as it may have", Type: "ConflictException", Why: "A topic of live has `--keys` keys, or `--state-bytes` of state, or there is no memory for more."}
	NobodyToKeepOut  = Refusal{Name: "no-user", Status: 409, Say: "this connection has no user that could be kept out; without ?for= it is closed", Type: "ConflictException", Why: "`DELETE /@connections/{id}?for=10m` for a client without a name. To keep its address out would also keep out those who share it."}
	TooManyOut       = Refusal{Name: "too-many-out", Status: 429, Say: "as many users are kept out as there can be", Type: "LimitExceededException", Why: "10,000 users are kept out at the moment."}
	OnlyLive         = Refusal{Name: "only-live", Status: 400, Say: "only topics of live have state and messages: ?app=live", Type: "BadRequestException", Why: "A request for what a topic of another app knows."}
	BadQuery         = Refusal{Name: "bad-query", Status: 400, Say: "the query is not understood", Type: "BadRequestException", Why: "A parameter that the path does not know, such as `?topc=a`, or a value that cannot be, such as a topic's name of more than 256 bytes."}
)

// Refusals that end connections.
var (
	EmptyFragments = Refusal{Name: "empty-fragments", Code: ws.PolicyViolation, Say: "a message has at most 1000 empty fragments", Why: "A message of more than 1,000 fragments in which there is nothing."}
	ControlFlood   = Refusal{Name: "control-flood", Code: ws.PolicyViolation, Say: "a client may send 100000 pings, pongs and empty fragments in a second", Why: "More than 100,000 control frames and empty fragments came from the client within a second."}
	MessageTimeout = Refusal{Name: "message-timeout", Code: ws.PolicyViolation, Say: "the message took too long to arrive", Why: "`--message-timeout` passed between the first byte of a message and its last."}
	NoMemory       = Refusal{Name: "no-memory", Code: ws.TryAgainLater, Say: "the server has no memory for the rest of this message; reconnect", Why: "What clients have sent and what is not handled yet takes a quarter of `--memory`. When that is used up, the connection that has most of it is closed."}
	TopicRemoved   = Refusal{Name: "topic-removed", Code: ws.NormalClosure, Say: "the topic of this connection was removed", Why: "DELETE on the last topic of the connection's address."}
	ProtocolError  = Refusal{Name: "protocol-error", Code: ws.ProtocolError, Say: "the WebSocket protocol was not followed", Why: "RFC 6455 was not followed; the reason says which rule."}
	InvalidUTF8    = Refusal{Name: "invalid-utf8", Code: ws.InvalidPayload, Say: "text must be valid UTF-8", Why: "A text message or a close reason is not UTF-8."}
	MessageTooBig  = Refusal{Name: "message-too-big", Code: ws.TooBig, Say: "messages are limited to 131072 bytes", Why: "A message of more than `--max-message` bytes, which the reason names, also in fragments; or one that `--memory` can never hold, stamped and in all of its topics."}
	FellBehind     = Refusal{Name: "fell-behind", Code: ws.TryAgainLater, Say: "you read too slowly: messages were lost; reconnect", Why: "More than `--backlog` bytes were published that this client has not read."}
	Flooded        = Refusal{Name: "flooded", Code: ws.TryAgainLater, Say: "you ask for more than you read", Why: "More than 256 KiB, or two of the largest messages, of answers wait for this client."}
	IdleTooLong    = Refusal{Name: "idle", Code: ws.GoingAway, Say: "no message for too long", Why: "`--idle-timeout` passed without a message in either direction."}
	NoPong         = Refusal{Name: "no-pong", Code: ws.InternalError, Say: "no answer to a ping", Why: "Nothing came from the client for twice `--ping-interval`."}
	GoingAway      = Refusal{Name: "going-away", Code: ws.GoingAway, Say: "the server is going away", Why: "The server stops. Clients are told one after the other over `--drain`."}
	CutOff         = Refusal{Name: "cut-off", Code: ws.TryAgainLater, Say: "this server has lost the others; reconnect", Why: "With several servers: this one cannot reach a majority of them, or they have given it up. The address should lead to one of the others."}
	BinaryRefused  = Refusal{Name: "binary", Code: ws.UnsupportedData, Say: "binary messages are not supported", Why: "`--aws-limits`: API Gateway takes text only."}
	TooOld         = Refusal{Name: "lifetime", Code: ws.GoingAway, Say: "Going away", AWS: true, Why: "`--aws-limits`: the connection is two hours old."}
	TakenOver      = Refusal{Name: "taken-over", Code: ws.PolicyViolation, Say: "the session goes on with another connection", Why: "In live: another connection has resumed the session."}
	Expired        = Refusal{Name: "expired", Code: ws.PolicyViolation, Say: "the token has expired", Why: "The time in the token's `exp` has come. A client with another token may come back."}
	SignedOut      = Refusal{Name: "signed-out", Code: ws.PolicyViolation, Say: "this user was signed out", Why: "`DELETE /users/{user}`."}
	Kicked         = Refusal{Name: "kicked", Code: ws.NormalClosure, Say: "the session was ended", Why: "In live: DELETE on the management API."}
	ClosedByDelete = Refusal{Name: "deleted", Code: ws.NormalClosure, Say: "Connection Closed Normally", AWS: true, Why: "DELETE on the management API."}
)

// Refusals returns the whole table, in the order of the documentation.
func Refusals() []Refusal {
	return []Refusal{
		NotFound, UpgradeRequired, BadHandshake, Rejected, ForeignOrigin, TooManyConnections, NoCredential, WrongKey, BadToken, NotKnown, Unchecked, NoConnection, Forbidden,
		KeptOut, TooManyOfAddress, TooFastOfAddress, TopicFull, TooManyTopics,
		HandlerRefused, TwoLengths, NotReady, ShuttingDown,
		Unauthorized, NotManaging, NoKey, ForeignPage, Unsigned, UnknownKey, BadSignature, WrongStage, MethodNotAllowed, InvalidID, Gone, CutShort, TooLarge, Full, Busy, BadQuery,
		BadMessage, StateFull, OnlyLive, NobodyToKeepOut, TooManyOut,
		ProtocolError, InvalidUTF8, MessageTooBig, EmptyFragments, ControlFlood, MessageTimeout, FellBehind, Flooded, NoMemory,
		IdleTooLong, NoPong, GoingAway, CutOff, BinaryRefused, TooOld, ClosedByDelete, TopicRemoved,
		TakenOver, Expired, SignedOut, Kicked,
	}
}

// Saying returns the refusal with another sentence.
func (r Refusal) Saying(sentence string) Refusal {
	r.Say = sentence
	return r
}

// because returns the refusal with a reason appended to its sentence.
func (r Refusal) because(why string) *Refusal {
	r.Say += ": " + why
	return &r
}

// Close returns the close frame that ends a connection with the refusal. Its
// reason begins with the refusal's name, so that programs need not parse
// sentences, unless it is API Gateway's.
func (r Refusal) Close() ws.Close {
	if r.AWS {
		return ws.Close{Code: r.Code, Reason: r.Say}
	}
	return ws.Close{Code: r.Code, Reason: r.Name + ": " + r.Say}
}

func (d *Door) noteRefusal(r *http.Request, no Refusal) {
	d.config.Log.Debug("refused", "why", no.Name, "path", r.URL.Path, "remote", r.RemoteAddr)
	if d.config.Refused != nil {
		d.config.Refused(no)
	}
}

// refuse answers a request: with plain text for people, and in API Gateway's
// form for its clients.
func (d *Door) refuse(w http.ResponseWriter, r *http.Request, no Refusal) {
	d.noteRefusal(r, no)
	h := w.Header()
	if no.Type != "" {
		h.Set("X-Amzn-Errortype", no.Type)
	}
	switch {
	case no.Body != nil:
		h.Set("Content-Type", "application/json")
		w.WriteHeader(no.Status)
		w.Write(no.Body)
	case no.Say == "":
		h.Set("Content-Length", "0")
		w.WriteHeader(no.Status)
	case no.Type != "":
		h.Set("Content-Type", "application/json")
		w.WriteHeader(no.Status)
		body := json.NewEncoder(w)
		body.SetEscapeHTML(false)
		body.Encode(map[string]string{"message": no.Say})
	default:
		h.Set("Content-Type", "text/plain; charset=utf-8")
		h.Set("X-Content-Type-Options", "nosniff")
		w.WriteHeader(no.Status)
		w.Write([]byte(strings.TrimSpace(no.Say) + "\n"))
	}
}
