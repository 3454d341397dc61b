package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"crier/client"
	"crier/door"
)

const publishTimeout = 30 * time.Second

// publish sends one message to a server, without a WebSocket.
type publish struct {
	streams
	url    string
	topics []string
	key    secret
	admin  secret
}

func newPublish() *cobra.Command {
	p := publish{key: clientKey(), admin: adminKey()}
	cmd := &cobra.Command{
		Use:   "publish [MESSAGE...|-]",
		Short: "Publish one message to everyone, or to topics",
		Long: `Publish one message to every connection of a server, or to those in a topic.

The message is the arguments, joined by spaces. Without arguments, or with -, it
is read from the standard input, without the newline at its end; an empty input
is refused. Nothing is printed when the server accepts the message. Otherwise the
server's reason is printed, and the exit code is 1.

If the server has keys, one of them is required, or a token: in a terminal you
are asked for it if you did not give it. The admin key will do, too.`,
		Example: `  crier publish hello everyone
  crier publish --topic news '{"headline":"crier cries"}'
  date | crier publish
  crier publish --url https://crier.example.com --key-file key - < message.json`,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if p.streams, err = streamsOf(cmd); err != nil {
				return err
			}
			return p.run(cmd.Context(), args)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&p.url, "url", "http://localhost:8080", "the server's `URL` (ws:// works, too)")
	f.StringArrayVar(&p.topics, "topic", nil, "publish to topic `T` instead of to everyone (repeatable)")
	p.key.flags(f, "a key of the server, or a token")
	p.admin.flags(f, "the server's admin key")
	return cmd
}

func (p *publish) run(ctx context.Context, args []string) error {
	server, err := httpAddress(p.url)
	if err != nil {
		return err
	}
	key, err := p.credential()
	if err != nil {
		return err
	}
	message, err := p.message(args)
	if err != nil {
		return err
	}
	target := server.JoinPath("publish")
	addQuery(target, "topic", p.topics...)
	wantsKey, err := post(ctx, target, message, key)
	if !wantsKey || key != "" || !p.interactive() {
		return err
	}
	if key, err = p.key.ask(ctx, p.streams, target.Host); err != nil {
		return fmt.Errorf("not published: %w", err)
	}
	_, err = post(ctx, target, message, key)
	return err
}

// credential returns what to show to the server. Both kinds of keys may be in an
// environment that serves other commands, too; less is enough here.
func (p *publish) credential() (string, error) {
	key, err := p.key.read()
	if err != nil || key != "" {
		return key, err
	}
	return p.admin.read()
}

// post publishes a message. wantsKey says that the server has keys, and got none
// of them.
func post(ctx context.Context, target *url.URL, message []byte, key string) (wantsKey bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), bytes.NewReader(message))
	if err != nil {
		return false, err
	}
	bearer(req.Header, key)
	resp, err := publishClient.Do(req)
	if err != nil {
		return false, unreachable(target, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 == 2 {
		return false, nil
	}
	return refused(resp, keyFlags(req.Header, "--key-file FILE, or --admin-key-file FILE"))
}

// refused returns why a server has refused a request. wantsKey says that it has
// keys, and got none of them. flags are those of explain.
func refused(resp *http.Response, flags string) (wantsKey bool, err error) {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 1024))
	wantsKey = resp.StatusCode == http.StatusUnauthorized && resp.Header.Get("X-Amzn-Errortype") == door.Unauthorized.Type
	if resp.StatusCode == http.StatusUnauthorized && !wantsKey {
		flags = "" // no key would help
	}
	return wantsKey, refusal(&client.Refused{Status: resp.StatusCode, Body: body}, flags)
}

// publishClient follows no redirect: a POST becomes a GET on the way, and an
// empty success.
var publishClient = &http.Client{
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func (p *publish) message(args []string) ([]byte, error) {
	if len(args) > 0 && !(len(args) == 1 && args[0] == "-") {
		return []byte(strings.Join(args, " ")), nil
	}
	message, err := io.ReadAll(p.in)
	if err != nil {
		return nil, fmt.Errorf("read the message: %w", err)
	}
	if len(message) == 0 {
		return nil, errors.New("there is no message: the input is empty")
	}
	// As the shell does with $(…): the newline ends the line, it is not of the
	// message.
	if line, ended := bytes.CutSuffix(message, []byte("\n")); ended {
		message = bytes.TrimSuffix(line, []byte("\r"))
	}
	return message, nil
}
