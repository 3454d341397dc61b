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
}

func newPublish() *cobra.Command {
	p := publish{key: adminKey()}
	cmd := &cobra.Command{
		Use:   "publish [MESSAGE...|-]",
		Short: "Publish one message to everyone, or to topics",
		Long: `Publish one message to every connection of a server, or to those in a topic.

The message is the arguments, joined by spaces. Without arguments, or with -, it
is read from the standard input, without the newline at its end; an empty input
is refused. Nothing is printed when the server accepts the message. Otherwise the
server's reason is printed, and the exit code is 1. If the server has an admin
key, it is required: in a terminal you are asked for it if you did not give it.`,
		Example: `  crier publish hello everyone
  crier publish --topic news '{"headline":"crier cries"}'
  date | crier publish
  crier publish --url https://crier.example.com --admin-key-file key - < message.json`,
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
	p.key.flags(f, "the server's admin key")
	return cmd
}

func (p *publish) run(ctx context.Context, args []string) error {
	server, err := httpAddress(p.url)
	if err != nil {
		return err
	}
	key, err := p.key.read()
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
	if key, err = p.askForAdminKey(ctx, target.Host); err != nil {
		return fmt.Errorf("not published: %w", err)
	}
	_, err = post(ctx, target, message, key)
	return err
}

// post publishes a message. wantsKey says that the server has an admin key, and
// did not get it.
func post(ctx context.Context, target *url.URL, message []byte, key string) (wantsKey bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), bytes.NewReader(message))
	if err != nil {
		return false, err
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	resp, err := publishClient.Do(req)
	if err != nil {
		return false, unreachable(target, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 == 2 {
		return false, nil
	}
	return refused(resp)
}

// refused returns why a server has refused a request. wantsKey says that it has an
// admin key, and did not get it.
func refused(resp *http.Response) (wantsKey bool, err error) {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 1024))
	wantsKey = resp.StatusCode == http.StatusUnauthorized && resp.Header.Get("X-Amzn-Errortype") == door.Unauthorized.Type
	return wantsKey, refusal(&client.Refused{Status: resp.StatusCode, Body: body})
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
