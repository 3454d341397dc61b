package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// connectionList lists the connections of a server.
type connectionList struct {
	managing
	topic, app string
	user       string
	limit      length
	json       bool
}

func newList() *cobra.Command {
	var l connectionList
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List the connections of a server",
		Long: `List the connections of a running server, the oldest first. The id is what crier
kick needs. Unread messages wait for the connection, and a client that sends
faster than it may is throttled.

With --json, each line is one connection, with all that the server tells of it.`,
		Example: `  crier ls
  crier ls --app live --topic lobby
  crier ls --topic ''      # those that get what goes to everyone
  crier ls --url https://crier.example.com --admin-key-file key --limit 20
  crier ls --json | jq -r .identity.sourceIp | sort | uniq -c`,
		Args: noArguments,
	}
	f := cmd.Flags()
	f.StringVar(&l.topic, "topic", "", "list only those in topic `T`")
	f.StringVar(&l.app, "app", "", "list only those of the app `NAME`")
	f.StringVar(&l.user, "user", "", "list only those of the user `U`")
	l.limit.flag(f, "oldest")
	f.BoolVar(&l.json, "json", false, "print a line of JSON for each connection")
	return l.command(cmd, func(ctx context.Context, _ []string) error {
		query := make(url.Values)
		if cmd.Flags().Changed("topic") {
			query.Set("topic", l.topic)
		}
		return l.run(ctx, query)
	})
}

// A listed connection is one as GET /@connections tells of it.
type listed struct {
	ID       string    `json:"connectionId"`
	App      string    `json:"app"`
	User     string    `json:"user"`
	Topics   []string  `json:"topics"`
	Unread   int       `json:"unread"`
	Slowed   bool      `json:"throttled"`
	Server   string    `json:"server"`
	Since    time.Time `json:"connectedAt"`
	Identity struct {
		SourceIP string `json:"sourceIp"`
	} `json:"identity"`
}

func (l *connectionList) run(ctx context.Context, query url.Values) error {
	most := l.limit.most(l.streams)
	query.Set("limit", strconv.Itoa(most+1))
	if l.app != "" {
		query.Set("app", l.app)
	}
	if l.user != "" {
		query.Set("user", l.user)
	}
	var rows []listed
	more, err := l.list(ctx, l.target(query, "@connections"), most, func(row json.RawMessage) error {
		if l.json {
			return writeJSON(l.out, row)
		}
		var one listed
		if err := json.Unmarshal(row, &one); err != nil {
			return noCrier(l.address)
		}
		rows = append(rows, one)
		return nil
	})
	if err != nil {
		return err
	}
	if !l.json {
		if err := l.write(rows, time.Now()); err != nil {
			return err
		}
	}
	if more {
		err = l.cut(most, "oldest")
	}
	return err
}

// write writes a table for people. Only several servers have names.
func (l *connectionList) write(rows []listed, now time.Time) error {
	if len(rows) == 0 {
		_, err := fmt.Fprintln(l.errOut, "nobody is connected")
		return err
	}
	head := []string{"id", "app", "user", "topics", "address", "since", "unread"}
	servers := slices.ContainsFunc(rows, func(c listed) bool { return c.Server != "" })
	if servers {
		head = append(head, "server")
	}
	shown := table{head}
	for _, c := range rows {
		unread := strconv.Itoa(c.Unread)
		if c.Slowed {
			unread += " (throttled)"
		}
		cells := []string{sentence(c.ID), sentence(c.App), cell(c.User), topicsCell(c.Topics),
			sentence(c.Identity.SourceIP), moment(c.Since, now), unread}
		if servers {
			cells = append(cells, sentence(c.Server))
		}
		shown.row(cells...)
	}
	return shown.writeTo(l.out)
}

// everyone is what tables call the topic that has no name.
const everyone = "(everyone)"

// cell is a name in a table; a name is what a client says of itself.
func cell(name string) string { return cmp.Or(shortened(sentence(name), 24), "-") }

// topicsCell names the first few topics.
func topicsCell(topics []string) string {
	const shown = 3
	var names []string
	for _, name := range topics[:min(shown, len(topics))] {
		names = append(names, cmp.Or(shortened(sentence(name), 24), everyone))
	}
	text := strings.Join(names, ", ")
	if n := len(topics) - shown; n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	return cmp.Or(text, "-")
}

// moment is a time by this machine's clock, with the day if that is not today.
func moment(t, now time.Time) string {
	t, now = t.Local(), now.Local()
	if t.YearDay() == now.YearDay() && t.Year() == now.Year() {
		return t.Format(time.TimeOnly)
	}
	return t.Format("Jan 2 15:04")
}
