package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// managing is a command that manages a running server.
type managing struct {
	streams
	url      string
	key      secret
	insecure bool

	address *url.URL
	server  *remote
}

// command gives cmd the flags that say which server, and run once that is known.
func (m *managing) command(cmd *cobra.Command, run func(ctx context.Context, args []string) error) *cobra.Command {
	m.key = adminKey()
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&m.url, "url", "http://localhost:8080", "the server's `URL` (ws:// and HOST:PORT work, too)")
	m.key.flags(f, "the server's admin key")
	insecureFlag(f, &m.insecure)
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if m.streams, err = streamsOf(cmd); err != nil {
			return err
		}
		ctx, stop := untilStopped(cmd.Context())
		defer stop()
		if err = m.open(); err == nil {
			err = run(ctx, args)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", cmd.Name(), err)
		}
		return nil
	}
	return cmd
}

func (m *managing) open() (err error) {
	if m.address, err = serverAddress(m.url); err != nil {
		return err
	}
	m.address.RawQuery = "" // it is for a WebSocket
	key, err := m.key.read()
	if err != nil {
		return err
	}
	m.server = newRemote(m.streams, m.insecure, key, m.key, "--admin-key-file FILE")
	return nil
}

// list asks for a list of at most that many rows, and calls row with each of them
// as it comes. It reports whether there are more.
func (m *managing) list(ctx context.Context, target *url.URL, most int, row func(json.RawMessage) error,
) (more bool, err error) {
	answer, err := m.server.do(ctx, http.MethodGet, target, nil)
	if err != nil {
		return false, err
	}
	defer answer.Body.Close()
	in := json.NewDecoder(answer.Body)
	if bracket, err := in.Token(); err != nil || bracket != json.Delim('[') {
		return false, noCrier(target)
	}
	for n := 0; in.More(); n++ {
		if n == most {
			return true, m.missing(answer.Header)
		}
		var one json.RawMessage
		if err := in.Decode(&one); err != nil {
			return false, cutShort(target, err)
		}
		if err := row(one); err != nil {
			return false, err
		}
	}
	if _, err := in.Token(); err != nil {
		return false, cutShort(target, err)
	}
	return false, m.missing(answer.Header)
}

// missing warns of a list that lacks what some of several servers know.
func (m *managing) missing(h http.Header) error {
	servers, answered := h.Get("Crier-Servers"), h.Get("Crier-Answered")
	if servers == answered {
		return nil
	}
	_, err := fmt.Fprintf(m.errOut, "%s of %s servers have answered; the others are left out\n",
		sentence(answered), sentence(servers))
	return err
}

// target returns the address of a path, whose parts may have any characters.
func (m *managing) target(query url.Values, path ...string) *url.URL {
	escaped := make([]string, len(path))
	for i, part := range path {
		escaped[i] = url.PathEscape(part)
		if part == "." || part == ".." {
			escaped[i] = strings.ReplaceAll(part, ".", "%2E") // no step up
		}
	}
	target := m.address.JoinPath(escaped...)
	target.RawQuery = query.Encode()
	return target
}

// mostShown is how many rows of a list a person gets who has not said how many.
const mostShown = 100

// A length is how many rows of a list are wanted: zero for all, negative if that
// was not said. It implements pflag.Value.
type length int

func (l *length) flag(f *pflag.FlagSet, which string) {
	*l = -1
	f.Var(l, "limit", "list at most `N`: the "+which+"; 0 lists all. In a terminal 100 are listed if you do not say how many")
}

func (l *length) String() string {
	if *l < 0 {
		return "" // so that help does not tell it
	}
	return strconv.Itoa(int(*l))
}

func (l *length) Type() string { return "N" }

func (l *length) Set(value string) error {
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 || n > math.MaxInt32 {
		return errors.New("want a number, such as 20; 0 lists all")
	}
	*l = length(n)
	return nil
}

// most returns how many rows to show.
func (l length) most(s streams) int {
	switch {
	case l > 0:
		return int(l)
	case l < 0 && s.screen != nil:
		return mostShown
	default:
		return math.MaxInt32
	}
}

// cut says that a list has more rows than are listed. which may be empty.
func (m *managing) cut(most int, which string) error {
	what := fmt.Sprintf("%d of them are", most)
	switch {
	case which != "" && most == 1:
		what = "the " + which + " is"
	case which != "":
		what = fmt.Sprintf("the %d %s are", most, which)
	case most == 1:
		what = "1 of them is"
	}
	_, err := fmt.Fprintf(m.errOut, "only %s listed; --limit 0 lists all\n", what)
	return err
}

func cutShort(target *url.URL, err error) error {
	return fmt.Errorf("the answer of %s ends early or is not crier's: %s", target.Host, sentence(err.Error()))
}

// writeJSON writes what a server has sent as one line of JSON.
func writeJSON(out io.Writer, row json.RawMessage) error {
	_, err := fmt.Fprintf(out, "%s\n", escape(oneLine(row), misleads))
	return err
}
