package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"crier/client"
	"crier/ws"
)

const connectTimeout = 10 * time.Second

// connect is the person's end of a WebSocket.
type connect struct {
	streams
	url          string
	app          string
	user         string
	topics       []string
	headers      []string
	origin       string
	subprotocols []string
	json, raw    bool
	key          secret
	wait         time.Duration
	last         int
	lastSaid     bool // last was given
	reconnect    bool
	insecure     bool
}

// apps are those that --app may name, besides broadcast. Each has a path.
var apps = []string{"bridge", "chat", "rooms", "directory", "live"}

// topicless are the apps that ignore ?topic=, with what to do instead.
var topicless = map[string]string{
	"bridge":    "the bridge takes its topic in the address: 'ws://localhost:8080/bridge?topicName=T', without --topic",
	"chat":      "chat has no topics: --topic is for broadcast and live",
	"rooms":     `in rooms, clients subscribe by sending {"action":"subscribe","topic":"T"}: --topic is for broadcast and live`,
	"directory": "directory has no topics: --topic is for broadcast and live",
}

func newConnect() *cobra.Command {
	c := connect{url: "ws://localhost:8080", key: clientKey()}
	cmd := &cobra.Command{
		Use:   "connect [URL]",
		Short: "Talk to a WebSocket server from the terminal",
		Long: `Connect to a WebSocket server, send what is typed and show what arrives.

In a terminal every line is sent when Enter is pressed. The arrow keys edit the
line and bring back earlier ones, and ctrl-C or ctrl-D closes the connection.
Control characters in what arrives are shown as escapes.

In a pipe every line of the input is one message, and every message received is
one line of the output, whatever it contains. JSON stays the same JSON: only
line breaks between its members are left out. In other text, line breaks and
other control characters become the escapes \n, \r and \u001b, and bytes that
are not UTF-8 become \xff. With --json every line is JSON: other text becomes a
JSON string, and a binary message a JSON string in base64. With --raw messages
are printed unchanged.

The URL is ws://localhost:8080 when none is given; http://, https:// and a bare
host:port work, too. The exit code is 1 if the server refuses the connection, or
closes it with a code other than 1000.

With --reconnect, crier connect tries again when the connection is lost. It
waits longer before each try, up to 30 s, and keeps up to 1,000 lines for the
next connection. It ends when the server says that reconnecting would not help:
with close codes such as 1000 and 1008, or a refusal such as 403. Messages that
others send meanwhile are missed. Messages that were on their way when the
connection was lost may be lost, too.

With --app, crier connect uses that app of a crier server. In a terminal, live
is a conversation: who is here, what was said before, who comes and goes. --json
shows the messages themselves. With --app live and --reconnect it resumes its
session: it gets what others have sent meanwhile, and every line is published
exactly once, unless it was away for too long.

If the server has keys, one of them is required, or a token: in a terminal you
are asked for it if you did not give it.`,
		Example: `  crier connect
  crier connect --topic news
  crier connect 'ws://localhost:8080/bridge?topicName=news' --json
  echo '{"hello":"world"}' | crier connect | jq .hello
  crier connect --wait 1h < /dev/null > messages.txt
  crier connect wss://crier.example.com --reconnect --key-file key
  crier connect --app live --topic lobby --user ada --reconnect`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if len(args) == 1 {
				c.url = args[0]
			}
			if c.streams, err = streamsOf(cmd); err != nil {
				return err
			}
			c.lastSaid = cmd.Flags().Changed("last")
			ctx, stop := untilStopped(cmd.Context())
			defer stop()
			// A second signal ends the process, in case the output is not being
			// read.
			return c.run(ctx)
		},
	}
	c.addFlags(cmd)
	return cmd
}

func (c *connect) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&c.app, "app", "", "use the app `NAME` of crier: broadcast, bridge, chat, rooms, directory or live (adds the path)")
	f.StringVar(&c.user, "user", "", "connect as `NAME`, in live and rooms (adds ?user=NAME)")
	f.StringArrayVar(&c.topics, "topic", nil, "join topic `T`, of live or broadcast (adds ?topic=T; repeatable)")
	f.IntVar(&c.last, "last", 0, "with --app live, begin with the last `N` messages of each topic; if you do not say how many, 20 in a terminal, none in a pipe")
	f.BoolVar(&c.json, "json", false, "in a terminal, indent the JSON that arrives; in a pipe, print only JSON")
	f.BoolVar(&c.raw, "raw", false, "print messages unchanged, each followed by a newline; not in a terminal")
	c.key.flags(f, "a key of the server, or a token, sent as Authorization: Bearer KEY")
	f.StringArrayVar(&c.headers, "header", nil, "send the HTTP header `'K: V'` (repeatable)")
	f.StringVar(&c.origin, "origin", "", "send the Origin that a browser at `URL` would")
	f.StringArrayVar(&c.subprotocols, "subprotocol", nil, "ask for the subprotocol `NAME` (repeatable)")
	f.DurationVar(&c.wait, "wait", time.Second, "stay for `DURATION` after the end of a piped input")
	f.BoolVar(&c.reconnect, "reconnect", false, "reconnect when the connection is lost")
	insecureFlag(f, &c.insecure)
}

func (c *connect) run(ctx context.Context) error {
	switch {
	case c.json && c.raw:
		return errors.New("--json and --raw: there can be one of the two")
	case c.raw && c.screen != nil:
		return errors.New("--raw is for pipes and files: a message could take over the terminal")
	}
	server, err := c.address()
	if err != nil {
		return err
	}
	header, err := c.header()
	if err != nil {
		return err
	}
	talk := &conversation{
		in:      c.in,
		stay:    c.wait,
		explain: func(ended error) error { return explain(server, ended, keyFlags(header, "--key-file FILE")) },
		notes:   notes{out: c.errOut, style: c.look()},
	}
	options := client.Options{
		Header: header, Subprotocols: c.subprotocols, TLS: encryption(c.insecure), MaxMessage: maxReceived, Timeout: connectTimeout,
		Confirm: client.Never, // it may be any server
	}
	if c.app == "live" {
		options.Live, options.Confirm = &client.Live{}, client.ByAddress
	}
	if c.reconnect {
		options.State, options.Drop = talk.noteState, talk.noteDrop
		talk.refusalsShown = c.conversing(server)
	} else {
		options.ComeBack = func(error) bool { return false }
	}
	if c.interactive() {
		talk.notes.out = c.out
	}
	if err := c.enter(ctx, talk, server, options); err != nil {
		return err
	}
	defer talk.hangUp()
	out := talk.notes.out
	if c.interactive() {
		err = c.atTerminal(ctx, talk, server)
	} else {
		err = c.inPipe(ctx, talk, server)
	}
	// A normal end is news for the person, and no failure.
	if closed, ok := errors.AsType[*closedError](err); ok && closed.code == ws.NormalClosure {
		_, err = fmt.Fprintln(out, closed)
	}
	return err
}

// enter waits for the first connection. If the server wants a key and was shown
// none, a person at a terminal is asked for it.
func (c *connect) enter(ctx context.Context, talk *conversation, server *url.URL, o client.Options) error {
	err := talk.connect(ctx, server.String(), o)
	shown := o.Header.Get("Authorization") != "" || server.Query().Has("token")
	if !wantsKey(err) || shown || !c.interactive() {
		return err
	}
	key, err := c.key.ask(ctx, c.streams, server.Host)
	if err != nil {
		return err
	}
	bearer(o.Header, key)
	return talk.connect(ctx, server.String(), o)
}

// wantsKey reports whether a server has refused a client because of its key. A
// client that has an Origin, as pages have, gets a close code instead of a status.
func wantsKey(err error) bool {
	refused, _ := errors.AsType[*client.Refused](err)
	closed, _ := errors.AsType[*closedError](err)
	return refused != nil && refused.Status == http.StatusUnauthorized || closed != nil && closed.code == 4000+http.StatusUnauthorized
}

// show returns what shows messages on out. At a terminal, those of live are a
// conversation.
func (c *connect) show(out io.Writer, server *url.URL) func(data []byte, binary bool) error {
	if c.conversing(server) {
		return newLiveLook(c.look()).writeTo(out)
	}
	return c.look().writeTo(out)
}

// conversing reports whether messages are to be shown as those of live, if the
// server's greeting says that they are.
func (c *connect) conversing(server *url.URL) bool {
	return c.screen != nil && !c.json && (c.app == "live" || path.Base(server.Path) == "live")
}

// look is how messages are shown.
func (c *connect) look() look {
	l := lookOf(c.streams)
	l.json, l.raw = c.json, c.raw
	return l
}

func (c *connect) address() (*url.URL, error) {
	u, err := webSocketAddress(c.url)
	if err != nil {
		return nil, err
	}
	switch {
	case c.app == "", c.app == "broadcast": // which is at the root
	case !slices.Contains(apps, c.app):
		return nil, fmt.Errorf("--app %q is none of broadcast, %s", c.app, strings.Join(apps, ", "))
	case topicless[c.app] != "" && len(c.topics) > 0:
		return nil, errors.New(topicless[c.app])
	case strings.Trim(u.Path, "/") == "":
		u.Path = "/" + c.app
	}
	if c.user != "" {
		addQuery(u, "user", c.user)
	}
	addQuery(u, "topic", c.topics...)
	return u, c.begin(u)
}

// begin says with which messages of the past a client of live begins.
func (c *connect) begin(u *url.URL) error {
	query := u.Query()
	switch {
	case c.app != "live" && c.lastSaid:
		return errors.New("--last is for --app live")
	case c.app == "live" && !query.Has("topic"):
		return errors.New("live has topics only: say which with --topic")
	case c.lastSaid:
		query.Del("last")
		u.RawQuery = query.Encode()
		addQuery(u, "last", strconv.Itoa(c.last))
	case c.app == "live" && c.screen != nil && !query.Has("last"):
		addQuery(u, "last", "20")
	}
	return nil
}

func (c *connect) header() (http.Header, error) {
	h := http.Header{}
	for _, header := range c.headers {
		name, value, ok := strings.Cut(header, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return nil, fmt.Errorf("--header %q should look like 'Name: value'", header)
		}
		h.Add(name, strings.TrimSpace(value))
	}
	if c.origin != "" {
		h.Set("Origin", c.origin)
	}
	key, err := c.key.read()
	if err != nil {
		return nil, err
	}
	bearer(h, key)
	return h, nil
}

// explain says in a sentence how a connection ended, or why there is none. flags
// are those that would have shown a key; empty: one was shown.
func explain(server *url.URL, ended error, flags string) error {
	if refused, ok := errors.AsType[*client.Refused](ended); ok {
		return refusal(server, refused, flags)
	}
	fault, broke := errors.AsType[*client.Fault](ended)
	how, closed := errors.AsType[ws.Close](ended)
	switch {
	case broke && fault.Told.Code == ws.TooBig:
		return fmt.Errorf("a message is larger than the %d MiB that crier connect takes", maxReceived>>20)
	case broke:
		return fmt.Errorf("the server broke the protocol: %s", sentence(fault.Told.Reason))
	case how.Code == ws.NoStatus:
		return &closedError{how.Code, "the server gave no close code"}
	case closed:
		return &closedError{how.Code, how.Reason}
	}
	return unreachable(server, ended)
}

// refusal repeats what the server said instead of doing as it was asked, and says
// what may help. flags are those of explain.
func refusal(server *url.URL, r *client.Refused, flags string) error {
	status := strings.TrimSpace(fmt.Sprintf("%d %s", r.Status, http.StatusText(r.Status)))
	if why := reason(r); why != "" {
		status += ": " + why
	}
	switch {
	case r.Status == http.StatusUnauthorized && flags != "":
		status += "; try " + flags
	case r.Status == http.StatusForbidden && flags == "":
		status += "; crier token TOKEN says what a token is for"
	case r.Status == http.StatusBadRequest && wantsTLS.Match(r.Body) && otherScheme[server.Scheme] != "":
		status += "; try " + otherScheme[server.Scheme] + "://" + server.Host
	}
	return &refusedError{"refused: " + status, r}
}

// reason returns the first paragraph of what a server says. crier lists its paths
// in the others.
func reason(r *client.Refused) string {
	why, _, _ := strings.Cut(strings.TrimSpace(r.Why()), "\n\n")
	if strings.HasPrefix(why, "<") {
		return "the answer is a page for browsers; is it the right address?"
	}
	return sentence(why)
}

// refusedError is a refusal in a sentence for people.
type refusedError struct {
	text string
	*client.Refused
}

func (e *refusedError) Error() string { return e.text }
func (e *refusedError) Unwrap() error { return e.Refused }

// wantsTLS matches what servers say if they speak TLS only and the client does
// not: crier, Go's net/http, nginx and Apache.
var wantsTLS = regexp.MustCompile(`this is https and wss|HTTPS (server|port)|SSL-enabled server port`)

// otherScheme has, for a scheme without TLS, the one with it, and the other way
// round.
var otherScheme = map[string]string{"ws": "wss", "wss": "ws", "http": "https", "https": "http"}

// keyFlags returns the flags for a key that a header does not show; none if it
// shows one.
func keyFlags(h http.Header, flags string) string {
	if h.Get("Authorization") != "" {
		return ""
	}
	return flags
}

// unreachable says in a sentence that there was no answer, and what to look at.
func unreachable(server *url.URL, err error) error {
	// The layers above only repeat the method and the address.
	if layer, ok := errors.AsType[*url.Error](err); ok {
		err = layer.Err
	}
	distrusted, _ := errors.AsType[*tls.CertificateVerificationError](err)
	_, noTLS := errors.AsType[tls.RecordHeaderError](err)
	other := otherScheme[server.Scheme] + "://" + server.Host
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nobody listens at %s: is crier serve running?", withPort(server))
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer from %s: is it the right address?", server.Host)
	case distrusted != nil:
		why := strings.TrimPrefix(distrusted.Err.Error(), "x509: ")
		why, _, _ = strings.Cut(why, " (possibly") // a guess, which names other certificates
		return fmt.Errorf("the certificate of %s is not to be trusted: %s; if it is your own, use --insecure", server.Host, sentence(why))
	case noTLS || errors.Is(err, http.ErrSchemeMismatch):
		return fmt.Errorf("%s does not speak TLS: try %s", server.Host, other)
	case strings.Contains(err.Error(), tlsAlert):
		return fmt.Errorf("%s speaks TLS only: try %s", server.Host, other)
	default:
		return fmt.Errorf("cannot reach %s: %s", server.Host, sentence(err.Error()))
	}
}

// withPort returns a server's host and port, also if the port is that of its
// scheme.
func withPort(server *url.URL) string {
	if server.Port() != "" {
		return server.Host
	}
	return server.Host + map[string]string{"ws": ":80", "http": ":80", "wss": ":443", "https": ":443"}[server.Scheme]
}

// tlsAlert is how net/http describes an alert of TLS in the place of an answer.
const tlsAlert = `malformed HTTP response "\x15\x03`

func (c *connect) atTerminal(ctx context.Context, talk *conversation, server *url.URL) error {
	connected, hint := "connected to "+server.Redacted(), "(ctrl-C says goodbye)"
	between := " "
	if utf8.RuneCountInString(connected+between+hint) > 80 {
		between = "\n"
	}
	style := c.look()
	fmt.Fprintln(c.out, style.paint(dim, connected+between+hint))
	p, err := openPrompt(c.streams)
	if err != nil {
		return err
	}
	talk.notes.to(p)
	talk.next, talk.show, talk.stay = p.nextLine, c.show(p, server), 0
	err = talk.run(ctx)
	talk.notes.to(c.out)
	p.close()
	if err == nil {
		fmt.Fprintln(c.out, style.paint(dim, "bye"))
	}
	return err
}

func (c *connect) inPipe(ctx context.Context, talk *conversation, server *url.URL) error {
	talk.next, talk.show = lines(c.in), c.show(c.out, server)
	return talk.run(ctx)
}
