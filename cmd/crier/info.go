package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"crier/deploy"
	"crier/door"
)

// info shows a stack on AWS, or a server that runs.
type info struct {
	stack
	key      secret
	insecure bool
}

func newInfo() *cobra.Command {
	i := info{key: adminKey()}
	var cmd *cobra.Command
	cmd = i.command(&cobra.Command{
		Use:   "info [URL]",
		Short: "Show a server, several servers, or a stack on AWS",
		Long: `Show a running server: its address, whether it takes clients and if not why, and
what it does. If it is one of several, each of them is shown, and how many do
not answer. The URL may also be HOST:PORT. If the server has an admin key, it is
required: in a terminal you are asked for it if you did not give it.

Without a URL, show a stack on AWS: its address, its state and its resources.`,
		Example: `  crier info localhost:8080
  crier info https://crier.example.com --admin-key-file key
  crier info --name my-game --region eu-central-1`,
	}, func(ctx context.Context) (err error) {
		if args := cmd.Flags().Args(); len(args) == 1 {
			err = i.showServer(ctx, args[0])
		} else {
			err = i.showStack(ctx)
		}
		if err != nil {
			return fmt.Errorf("info: %w", err)
		}
		return nil
	})
	cmd.Args = cobra.MaximumNArgs(1)
	i.key.flags(cmd.Flags(), "the server's admin key")
	insecureFlag(cmd.Flags(), &i.insecure)
	return cmd
}

func (i *info) showStack(ctx context.Context) error {
	client, err := i.open(ctx, nil)
	if err != nil {
		return fmt.Errorf("%w; crier info URL shows a server that runs", err)
	}
	found, err := client.Info(ctx, i.name)
	if err != nil {
		return err
	}
	return writeStack(i.out, found)
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
	row("pages", s.Origins)
	row("function", s.Function)
	row("table", s.Table)
	row("logs", s.LogGroup)
	row("failed", s.Failed)
	row("code", strings.TrimSuffix(path.Base(s.CodeKey), ".zip"))
	if s.URL != "" {
		row("try", try(s.URL, s.App))
	}
	return table.Flush()
}

func (i *info) showServer(ctx context.Context, typed string) error {
	m := managing{streams: i.streams, url: typed, key: i.key, insecure: i.insecure}
	if err := m.open(); err != nil {
		return err
	}
	stats, err := m.server.stats(ctx, m.address)
	if err != nil {
		return err
	}
	state, err := m.server.state(ctx, m.address)
	if err != nil {
		return err
	}
	return writeServer(i.out, m.address, state, stats)
}

// stats asks a server for its numbers.
func (r *remote) stats(ctx context.Context, address *url.URL) (stats door.Stats, err error) {
	answer, err := r.do(ctx, http.MethodGet, address.JoinPath("stats"), nil)
	if err != nil {
		return stats, err
	}
	defer answer.Body.Close()
	err = json.NewDecoder(io.LimitReader(answer.Body, 1<<20)).Decode(&stats)
	if err != nil || stats.Now == 0 {
		return stats, noCrier(address)
	}
	return stats, nil
}

// state asks a server whether it takes clients. That needs no key.
func (r *remote) state(ctx context.Context, address *url.URL) (string, error) {
	answer, err := r.send(ctx, http.MethodGet, address.JoinPath("readyz"), nil, "")
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	why, _ := io.ReadAll(io.LimitReader(answer.Body, 1024))
	switch answer.StatusCode {
	case http.StatusOK:
		return "ready", nil
	case http.StatusServiceUnavailable:
		return "not ready: " + sentence(string(why)), nil
	default:
		return "unknown: /readyz answers " + sentence(answer.Status), nil
	}
}

// writeServer writes tables for people: what there is in all, and, if there are
// several servers, what each of them does.
func writeServer(out io.Writer, server *url.URL, state string, s door.Stats) error {
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	several := s.Servers > 1
	fmt.Fprintf(table, "address\t%s\n", server.Redacted())
	fmt.Fprintf(table, "state\t%s\n", state)
	topics := ""
	if several {
		fmt.Fprintf(table, "servers\t%s\n", serversOf(s.Asked))
		topics = " (a topic counts once for each server where it has members)"
	}
	fmt.Fprintf(table, "connections\t%s\n", connectionsOf(s))
	fmt.Fprintf(table, "topics\t%d%s\n", s.Topics, topics)
	fmt.Fprintf(table, "messages\t%d\n", s.Messages)
	fmt.Fprintf(table, "deliveries\t%d\n", s.Deliveries)
	if several {
		fmt.Fprint(table, "\nserver\tconnections\tmessages\tdeliveries\n")
		slices.SortFunc(s.Each, func(a, b door.ServerStats) int { return strings.Compare(a.Server, b.Server) })
		for _, one := range s.Each {
			fmt.Fprintf(table, "%s\t%d\t%d\t%d\n", sentence(one.Server), one.Connections, one.Messages, one.Deliveries)
		}
	}
	return table.Flush()
}

// serversOf says how many servers there are, and whether all of them answer.
func serversOf(a door.Asked) string {
	if a.Answered == a.Servers {
		return fmt.Sprintf("%d, and all of them answer", a.Servers)
	}
	verb := "answer"
	if a.Answered == 1 {
		verb = "answers"
	}
	return fmt.Sprintf("%d of %d %s; what follows leaves out the others", a.Answered, a.Servers, verb)
}

// connectionsOf says how many connections there are, and of which apps.
func connectionsOf(s door.Stats) string {
	total := 0
	var apps []string
	for _, app := range slices.Sorted(maps.Keys(s.Connections)) {
		if n := s.Connections[app]; n > 0 {
			total += n
			apps = append(apps, fmt.Sprintf("%s %d", sentence(app), n))
		}
	}
	if total == 0 {
		return "0"
	}
	return fmt.Sprintf("%d: %s", total, strings.Join(apps, ", "))
}
