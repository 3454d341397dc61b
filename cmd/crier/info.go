package main

import (
	"context"
	"fmt"
	"io"
	"path"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"crier/deploy"
)

func newInfo() *cobra.Command {
	var s stack
	return s.command(&cobra.Command{
		Use:   "info",
		Short: "Show a stack on AWS: its address, its state and its resources",
		Example: `  crier info
  crier info --name my-game --region eu-central-1`,
	}, func(ctx context.Context) error {
		client, err := s.open(ctx, nil)
		if err != nil {
			return fmt.Errorf("info: %w", err)
		}
		found, err := client.Info(ctx, s.name)
		if err != nil {
			return fmt.Errorf("info: %w", err)
		}
		return writeStack(s.out, found)
	})
}

// writeStack writes a table for people.
func writeStack(out io.Writer, s deploy.Stack) error {
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(table, "%s\t%s\n", name, value)
		}
	}
	state := s.Status.Word() + ", " + s.Since.Local().Format(time.DateTime)
	if s.Reason != "" {
		state += ": " + sentence(s.Reason)
	}
	row("stack", s.Name+" in "+s.Region)
	row("state", state)
	row("app", s.App)
	row("address", s.URL)
	row("function", s.Function)
	row("table", s.Table)
	row("logs", s.LogGroup)
	row("code", strings.TrimSuffix(path.Base(s.CodeKey), ".zip"))
	if s.URL != "" {
		row("try", try(s.URL, s.App))
	}
	return table.Flush()
}
