package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"crier/door"
)

// topicList lists topics, or the members of one.
type topicList struct {
	managing
	app   string
	limit length
	json  bool
}

func newTopics() *cobra.Command {
	var l topicList
	cmd := &cobra.Command{
		Use:   "topics [NAME]",
		Short: "List the topics of a server, or the members of one",
		Long: `List the topics of a running server that somebody is in, the largest first. With
NAME, list who is in that topic: users, and the ids of connections that have no
user. A user counts once there, with however many connections.

With --json, each line is JSON.`,
		Example: `  crier topics
  crier topics lobby
  crier topics --app live --json
  crier topics --url https://crier.example.com --admin-key-file key`,
		Args: cobra.MaximumNArgs(1),
	}
	f := cmd.Flags()
	f.StringVar(&l.app, "app", "", "only in the app `NAME`")
	l.limit.flag(f, "largest")
	f.BoolVar(&l.json, "json", false, "print a line of JSON for each topic or member")
	return l.command(cmd, func(ctx context.Context, args []string) error {
		if len(args) == 1 {
			return l.members(ctx, args[0])
		}
		return l.topics(ctx)
	})
}

func (l *topicList) query() url.Values {
	query := make(url.Values)
	if l.app != "" {
		query.Set("app", l.app)
	}
	return query
}

func (l *topicList) topics(ctx context.Context) error {
	most := l.limit.most(l.streams)
	query := l.query()
	query.Set("limit", strconv.Itoa(most+1)) // with a limit, the largest come first
	shown, found := table{{"topic", "app", "members"}}, 0
	more, err := l.list(ctx, l.target(query, "topics"), most, func(row json.RawMessage) error {
		if found++; l.json {
			return writeJSON(l.out, row)
		}
		var one door.Topic
		if err := json.Unmarshal(row, &one); err != nil {
			return noCrier(l.address)
		}
		shown.row(cmp.Or(sentence(one.Topic), everyone), sentence(one.App), strconv.Itoa(one.Members))
		return nil
	})
	switch {
	case err != nil || l.json:
	case found == 0:
		_, err = fmt.Fprintln(l.errOut, "nobody is in a topic")
	default:
		err = shown.writeTo(l.out)
	}
	if err == nil && more {
		err = l.cut(most, "largest")
	}
	return err
}

func (l *topicList) members(ctx context.Context, topic string) error {
	if topic == "" {
		return errors.New("a topic has a name; crier ls --topic '' lists those that get what goes to everyone")
	}
	most, found := l.limit.most(l.streams), 0
	more, err := l.list(ctx, l.target(l.query(), "topics", topic), most, func(row json.RawMessage) error {
		if found++; l.json {
			return writeJSON(l.out, row)
		}
		var name string
		if err := json.Unmarshal(row, &name); err != nil {
			return noCrier(l.address)
		}
		_, err := fmt.Fprintln(l.out, sentence(name))
		return err
	})
	if err == nil && found == 0 && !l.json {
		_, err = fmt.Fprintf(l.errOut, "nobody is in %s\n", sentence(topic))
	}
	if err == nil && more {
		err = l.cut(most, "")
	}
	return err
}
