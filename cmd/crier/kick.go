package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
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
or the user of that connection, is kept out for that long.

Nothing is printed when the server has done it.`,
		Example: `  crier kick uHQMDKmGAtjZYj4=
  crier kick --user ada --for 10m
  crier kick -- -HQMDKmGAtjZYj4=      # an id that begins with -`,
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w; see %s --help. An id that begins with - goes after --", err, cmd.CommandPath())
	})
	f := cmd.Flags()
	f.StringVar(&k.user, "user", "", "sign the user `U` out, in all apps")
	f.DurationVar(&k.keep, "for", 0, "keep the user out for `DURATION`")
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
		return k.end(ctx, k.target(query, "users", k.user))
	}
	for _, id := range ids {
		err := k.end(ctx, k.target(query, "@connections", id))
		if no, ok := errors.AsType[*client.Refused](err); ok && no.Status == http.StatusGone {
			err = fmt.Errorf("no connection has the id %s; it may have ended", sentence(id))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (k *kick) end(ctx context.Context, target *url.URL) error {
	answer, err := k.server.do(ctx, http.MethodDelete, target, nil)
	if err != nil {
		return err
	}
	return answer.Body.Close()
}
