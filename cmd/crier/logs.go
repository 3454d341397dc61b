package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"crier/deploy"
)

func newLogs() *cobra.Command {
	var s stack
	var follow bool
	var since time.Duration
	cmd := s.command(&cobra.Command{
		Use:   "logs",
		Short: "Show what a stack on AWS logs",
		Long: `Show what the function of a stack on AWS has logged: a line of JSON for each
message, connect and disconnect. With --follow go on until ctrl-C; lines come a
few seconds after what they tell of.`,
		Example: `  crier logs
  crier logs --follow
  crier logs --name my-game --since 24h | jq 'select(.level == "ERROR")'`,
	}, func(ctx context.Context) error {
		client, err := s.open(ctx, nil)
		if err == nil {
			err = client.Logs(ctx, s.name, time.Now().Add(-since), follow, s.logLine)
		}
		if err != nil {
			return fmt.Errorf("logs: %w", err)
		}
		return nil
	})
	f := cmd.Flags()
	f.BoolVarP(&follow, "follow", "f", false, "go on with what is logged from now on")
	f.DurationVar(&since, "since", 10*time.Minute, "begin `DURATION` ago")
	return cmd
}

// logLine writes the line as it is for programs, and with its time, and
// harmless, for people.
func (s *stack) logLine(line deploy.Line) error {
	text := line.Text
	if s.screen != nil {
		text = line.Time.Local().Format(time.TimeOnly) + " " + printable(text)
	}
	_, err := fmt.Fprintln(s.out, text)
	return err
}
