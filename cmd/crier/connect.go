package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/coder/websocket"
	"github.com/spf13/cobra"
)

const connectTimeout = 10 * time.Second

// connect is the person's end of a WebSocket.
type connect struct {
	streams
	url          string
	user         string
	topics       []string
	headers      []string
	origin       string
	subprotocols []string
	json         bool
	wait         time.Duration
}

func newConnect() *cobra.Command {
	c := connect{url: "ws://localhost:8080"}
	cmd := &cobra.Command{
		Use:   "connect [URL]",
		Short: "Talk to a WebSocket server from the terminal",
		Long: `Connect to a WebSocket server, send what is typed and show what arrives.

In a terminal every line is sent when Enter is pressed, the arrow keys edit it
and bring back earlier ones, and Ctrl-C or Ctrl-D says goodbye. In a pipe every
line of the input is one message, every message received is one line of the
output, and nothing is added to either.

The URL is ws://localhost:8080 when none is given; http://, https:// and a bare
host:port will do. A server that closes with anything but 1000, or does not let
us in, makes the exit code 1.`,
		Example: `  crier connect
  crier connect --user ada --topic news
  crier connect 'ws://localhost:8080/bridge?topicName=news' --json
  echo '{"hello":"world"}' | crier connect | jq .hello
  crier connect --wait 1h < /dev/null > messages.txt`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if len(args) == 1 {
				c.url = args[0]
			}
			if c.streams, err = streamsOf(cmd); err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
			defer stop()
			// A second signal ends the process, should nobody be reading the output.
			context.AfterFunc(ctx, stop)
			return c.run(ctx)
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.user, "user", "", "connect as `NAME` (adds ?user=NAME)")
	f.StringArrayVar(&c.topics, "topic", nil, "hear topic `T` (adds ?topic=T; repeatable)")
	f.BoolVar(&c.json, "json", false, "indent the JSON that arrives")
	f.StringArrayVar(&c.headers, "header", nil, "send the HTTP header `'K: V'` (repeatable)")
	f.StringVar(&c.origin, "origin", "", "send the Origin that a browser at `URL` would")
	f.StringArrayVar(&c.subprotocols, "subprotocol", nil, "ask for the subprotocol `NAME` (repeatable)")
	f.DurationVar(&c.wait, "wait", time.Second, "stay for `DURATION` after the end of a piped input")
	return cmd
}

func (c *connect) run(ctx context.Context) error {
	server, err := c.address()
	if err != nil {
		return err
	}
	talk, err := c.dial(ctx, server)
	if err != nil {
		return err
	}
	defer talk.conn.CloseNow()

	notes := c.errOut
	if c.interactive() {
		notes = c.out
		err = c.atTerminal(ctx, talk, server)
	} else {
		err = c.inPipe(ctx, talk)
	}
	// A normal end is news for the person, and no failure.
	if closed, ok := errors.AsType[*closedError](err); ok && closed.code == websocket.StatusNormalClosure {
		_, err = fmt.Fprintln(notes, closed)
	}
	return err
}

func (c *connect) address() (*url.URL, error) {
	u, err := webSocketAddress(c.url)
	if err != nil {
		return nil, err
	}
	if c.user != "" {
		addQuery(u, "user", c.user)
	}
	addQuery(u, "topic", c.topics...)
	return u, nil
}

func (c *connect) dial(ctx context.Context, server *url.URL) (*conversation, error) {
	options, err := c.handshake()
	if err != nil {
		return nil, err
	}
	dialing, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	talk := &conversation{in: c.in}
	conn, resp, err := websocket.Dial(httptrace.WithClientTrace(dialing, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { talk.cut = info.Conn.Close },
	}), server.String(), options)
	switch {
	case err == nil:
		conn.SetReadLimit(maxReceived)
		talk.conn = conn
		return talk, nil
	case resp != nil && resp.StatusCode != http.StatusSwitchingProtocols:
		return nil, refusedBy(resp)
	case ctx.Err() != nil:
		return nil, errors.New("interrupted")
	default:
		return nil, unreachable(server, err)
	}
}

func (c *connect) handshake() (*websocket.DialOptions, error) {
	options := &websocket.DialOptions{HTTPHeader: http.Header{}, Subprotocols: c.subprotocols}
	for _, header := range c.headers {
		name, value, ok := strings.Cut(header, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return nil, fmt.Errorf("--header %q should look like 'Name: value'", header)
		}
		value = strings.TrimSpace(value)
		if textproto.CanonicalMIMEHeaderKey(name) == "Host" {
			options.Host = value // net/http ignores it among the headers
			continue
		}
		options.HTTPHeader.Add(name, value)
	}
	if c.origin != "" {
		options.HTTPHeader.Set("Origin", c.origin)
	}
	return options, nil
}

// refusedBy repeats what the server said instead of letting us in.
func refusedBy(resp *http.Response) error {
	status := fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 1024))
	var no struct{ Message string } // as API Gateway puts it
	if json.Unmarshal(body, &no) == nil && no.Message != "" {
		body = []byte(no.Message)
	}
	if why := sentence(string(body)); why != "" {
		return fmt.Errorf("refused: %s: %s", strings.TrimSpace(status), why)
	}
	return fmt.Errorf("refused: %s", strings.TrimSpace(status))
}

// unreachable says in a sentence that there was no answer, and what to look at.
func unreachable(server *url.URL, err error) error {
	// The layers above only repeat the method and the address.
	if layer, ok := errors.AsType[*url.Error](err); ok {
		err = layer.Err
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nobody listens at %s: is crier serve running?", server.Host)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer from %s: is it the right address?", server.Host)
	default:
		return fmt.Errorf("cannot reach %s: %s", server.Host, sentence(err.Error()))
	}
}

func (c *connect) atTerminal(ctx context.Context, talk *conversation, server *url.URL) error {
	style := lookOf(c.streams, c.json)
	fmt.Fprintln(c.out, style.paint(dim, "connected to "+server.Redacted()+" (Ctrl-C says goodbye)"))
	p, err := openPrompt(c.streams)
	if err != nil {
		return err
	}
	talk.next, talk.show = p.nextLine, style.writeTo(p)
	err = talk.run(ctx)
	p.close()
	if err == nil {
		fmt.Fprintln(c.out, style.paint(dim, "bye"))
	}
	return err
}

func (c *connect) inPipe(ctx context.Context, talk *conversation) error {
	talk.next, talk.show = lines(c.in), lookOf(c.streams, c.json).writeTo(c.out)
	talk.stay = c.wait
	return talk.run(ctx)
}
