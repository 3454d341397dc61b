package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"crier/deploy"
)

func newRemove() *cobra.Command {
	var s stack
	var yes bool
	cmd := s.command(&cobra.Command{
		Use:   "remove",
		Short: "Remove a stack from AWS, with all that was made for it",
		Long: `Remove a stack from AWS: its address, which nobody will get again, its
function, table, role and logs, and the function's code in the bucket. The
bucket goes with the last stack. Nothing is left, so nothing is paid for any
more.

ctrl-C stops watching; CloudFormation goes on. What was interrupted or failed is
taken up by calling it again.`,
		Example: `  crier remove
  crier remove --name my-game --yes       # from a script`,
	}, func(ctx context.Context) error {
		if err := s.remove(ctx, yes); err != nil {
			return fmt.Errorf("remove: %w", err)
		}
		return nil
	})
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func (s *stack) remove(ctx context.Context, yes bool) error {
	if err := deploy.CheckName(s.name); err != nil {
		return err
	}
	client, err := s.open(ctx, newReport(s.errOut).tell)
	if err != nil {
		return err
	}
	if !yes {
		if err := s.confirm(ctx, client.Region()); err != nil {
			return err
		}
	}
	if err := client.Remove(ctx, s.name); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "%s is removed.\n", s.name)
	return err
}

// confirm asks the person, if there is one. Anything but yes is no.
func (s *stack) confirm(ctx context.Context, region string) error {
	if s.keyboard == nil {
		return fmt.Errorf("nobody is here to be asked; to remove the stack %s all the same, add --yes", s.name)
	}
	fmt.Fprintf(s.errOut, "Remove the stack %s in %s, its address, its connections and its logs? [y/N] ", s.name, region)
	defer context.AfterFunc(ctx, func() { s.in.Close() })()
	answer, _ := bufio.NewReader(s.in).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errors.New("nothing was removed")
}
