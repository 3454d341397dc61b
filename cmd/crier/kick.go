package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"crier/client"
)

// kick closes connections.
type kick struct {
	managing
	user string
	keep time.Duration
}

func newKick() *cobra.Command {
	var k kick
	cmd := &cobra.Command{
		Use:   "kick {ID... | --user U}",
		Short: "Disconnect a client, or sign a user out",
		Long: `Disconnect clients by their connection ids, as crier ls lists them, or all
connections of a user. Many clients connect again at once. With --for, the user,
or the user of that connection, is kept out for that long; --user without --for
ends that.

Nothing is printed when connections are closed. When a user is signed out, the
standard error says how many connections the user had.`,
		Example: `  crier kick uHQMDKmGAtjZYj4=
  crier kick --user ada --for 10m
  crier kick -- -HQMDKmGAtjZYj4=      # an id that begins with -`,
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if strings.Contains(err.Error(), "shorthand") {
			return fmt.Errorf("%w. An id that begins with - goes after --", flagError(cmd, err))
		}
		return flagError(cmd, err)
	})
	f := cmd.Flags()
	f.StringVar(&k.user, "user", "", "sign the user `U` out, in all apps")
	f.DurationVar(&k.keep, "for", 0, "keep the user out for `DURATION`, such as 10m")
	return k.command(cmd, k.run)
}

func (k *kick) run(ctx context.Context, ids []string) error {
	switch {
	case k.user == "" && (len(ids) == 0 || slices.Contains(ids, "")):
		return errors.New("say whom: a connection's id, as crier ls lists it, or --user")
	case k.user != "" && len(ids) > 0:
		return errors.New("an id and --user: there can be one of the two")
	case k.keep < 0:
		return errors.New("--for: nobody can be kept out until a time in the past")
	}
	query := make(url.Values)
	if k.keep > 0 {
		query.Set("for", k.keep.String())
	}
	if k.user != "" {
		return k.signOut(ctx, query)
	}
	for _, id := range ids {
		err := k.end(ctx, k.target(query, "@connections", id))
		if no, ok := errors.AsType[*client.Refused](err); ok && no.Status == http.StatusGone {
			err = fmt.Errorf("no connection has the id %s; it may have ended", sentence(id))
		} else if ok && no.Status == http.StatusBadRequest && strings.HasPrefix(no.Why(), "Invalid connectionId") {
			err = fmt.Errorf("%s is no id, as crier ls lists them; a user goes after --user", sentence(id))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// signOut signs the user out, and says how many connections that has ended. Nobody
// being there is no mistake: with --for, the user cannot come.
func (k *kick) signOut(ctx context.Context, query url.Values) error {
	had := 0
	of := url.Values{"user": {k.user}}
	_, err := k.list(ctx, k.target(of, "@connections"), math.MaxInt32, func(json.RawMessage) error { had++; return nil })
	if err != nil {
		return err
	}
	if err := k.end(ctx, k.target(query, "users", k.user)); err != nil {
		return err
	}
	user := sentence(k.user)
	did := fmt.Sprintf("closed %d connections of %s", had, user)
	switch had {
	case 0:
		did = fmt.Sprintf("nobody called %s was connected", user)
	case 1:
		did = fmt.Sprintf("closed 1 connection of %s", user)
	}
	if k.keep > 0 {
		did += fmt.Sprintf("; %s is kept out for %v", user, k.keep)
	}
	_, err = fmt.Fprintln(k.errOut, did)
	return err
}

func (k *kick) end(ctx context.Context, target *url.URL) error {
	answer, err := k.server.do(ctx, http.MethodDelete, target, nil)
	if err != nil {
		return err
	}
	return answer.Body.Close()
}
