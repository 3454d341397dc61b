package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"crier/client"
)

const publishTimeout = 30 * time.Second

// publish says one message to a server without a WebSocket.
type publish struct {
	streams
	url    string
	topics []string
	key    string
}

func newPublish() *cobra.Command {
	var p publish
	cmd := &cobra.Command{
		Use:   "publish [MESSAGE...|-]",
		Short: "Publish one message to everyone, or to topics",
		Long: `Publish one message to every connection of a server, or to those that hear a topic.

The arguments, joined by spaces, are the message. Without any, or with -, it is
read from the standard input, less the newline at its end. Nothing is printed
when the server takes it; when not, the server's reason is, and the exit code
is 1.`,
		Example: `  crier publish hello everyone
  crier publish --topic news '{"headline":"crier cries"}'
  date | crier publish
  crier publish --url https://crier.example.com --admin-key "$KEY" - < message.json`,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if p.streams, err = streamsOf(cmd); err != nil {
				return err
			}
			return p.run(cmd.Context(), args)
		},
	}
	f := cmd.Flags()
	f.StringVar(&p.url, "url", "http://localhost:8080", "the server's `URL` (ws:// will do)")
	f.StringArrayVar(&p.topics, "topic", nil, "publish to topic `T` and not to everyone (repeatable)")
	f.StringVar(&p.key, "admin-key", "", "the server's admin `KEY`")
	return cmd
}

func (p *publish) run(ctx context.Context, args []string) error {
	server, err := httpAddress(p.url)
	if err != nil {
		return err
	}
	message, err := p.message(args)
	if err != nil {
		return err
	}
	target := server.JoinPath("publish")
	addQuery(target, "topic", p.topics...)
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), bytes.NewReader(message))
	if err != nil {
		return err
	}
	if p.key != "" {
		req.Header.Set("Authorization", "Bearer "+p.key)
	}
	resp, err := publishClient.Do(req)
	if err != nil {
		return unreachable(server, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 1024))
		return refusal(&client.Refused{Status: resp.StatusCode, Body: body})
	}
	return nil
}

// publishClient follows no redirect: a POST becomes a GET on the way, and an empty success.
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
	// As the shell does with $(…): the newline ends the line, it is not of the message.
	if line, ended := bytes.CutSuffix(message, []byte("\n")); ended {
		message = bytes.TrimSuffix(line, []byte("\r"))
	}
	return message, nil
}
