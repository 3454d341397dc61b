package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// publish sends one message to a server, without a WebSocket.
type publish struct {
	streams
	url      string
	app      string
	topics   []string
	key      secret
	admin    secret
	insecure bool
}

func newPublish() *cobra.Command {
	p := publish{key: clientKey(), admin: adminKey()}
	cmd := &cobra.Command{
		Use:     "publish [MESSAGE...|-]",
		Aliases: []string{"say"},
		Short:   "Publish one message to everyone, or to topics",
		Long: `Publish one message to every connection of a server, or to those in a topic.
With --app live, publish it to topics of live, which remember it.

The message is the arguments, joined by spaces. Without arguments, or with -, it
is read from the standard input, without the newline at its end; an empty input
is refused. Nothing is printed when the server accepts the message. Otherwise
the server's reason is printed, and the exit code is 1.

If the server has keys, one of them is required, or a token: in a terminal you
are asked for it if you did not give it. The admin key will do, too.`,
		Example: `  crier publish hello everyone
  crier publish --topic news '{"headline":"crier cries"}'
  crier say --app live --topic lobby the break is over
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
	f.StringVar(&p.app, "app", "", "publish to the app `NAME`: broadcast or live (default broadcast)")
	f.StringArrayVar(&p.topics, "topic", nil, "publish to topic `T` instead of to everyone (repeatable)")
	p.key.flags(f, "a key of the server, or a token")
	p.admin.flags(f, "the server's admin key")
	insecureFlag(f, &p.insecure)
	return cmd
}

func (p *publish) run(ctx context.Context, args []string) error {
	target, err := p.target()
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
	server := newRemote(p.streams, p.insecure, key, p.key, "--key-file FILE, or --admin-key-file FILE")
	answer, err := server.do(ctx, http.MethodPost, target, message)
	if err != nil {
		return err
	}
	return answer.Body.Close()
}

// target returns where the message goes.
func (p *publish) target() (*url.URL, error) {
	target, err := serverAddress(p.url)
	if err != nil {
		return nil, err
	}
	switch {
	case !slices.Contains([]string{"", "broadcast", "live"}, p.app):
		return nil, fmt.Errorf("--app %q is none of broadcast, live", p.app)
	case p.app == "live" && len(p.topics) == 0:
		return nil, errors.New("live has topics only: say which with --topic")
	}
	target = target.JoinPath("publish")
	if p.app == "live" {
		addQuery(target, "app", p.app)
	}
	addQuery(target, "topic", p.topics...)
	return target, nil
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

func (p *publish) message(args []string) ([]byte, error) {
	if len(args) > 0 && !(len(args) == 1 && args[0] == "-") {
		return []byte(strings.Join(args, " ")), nil
	}
	if p.keyboard != nil {
		fmt.Fprintln(p.errOut, "type the message; "+inputEnds+" at the beginning of a line ends it")
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
