package main

import (
	"cmp"
	"context"
	"os"

	"github.com/spf13/cobra"

	"crier/deploy"
	"crier/serve"
)

// stack is which stack on AWS a command is about, and where it is.
type stack struct {
	streams
	name    string
	region  string
	profile string
}

// command makes cmd one about a stack: it gets the flags, and run until ctrl-C.
func (s *stack) command(cmd *cobra.Command, run func(ctx context.Context) error) *cobra.Command {
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&s.name, "name", cmp.Or(os.Getenv("SERVICE_NAME"), "crier"), "the stack's `NAME`, also from SERVICE_NAME")
	f.StringVar(&s.region, "region", "", "AWS `REGION`, if not the one that AWS's own tools use")
	f.StringVar(&s.profile, "profile", "", "`PROFILE` of ~/.aws, if not the one that AWS's own tools use")
	cmd.Args = noArguments
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if s.streams, err = streamsOf(cmd); err != nil {
			return err
		}
		ctx, stop := untilStopped(cmd.Context())
		defer stop()
		return run(ctx)
	}
	return cmd
}

func (s *stack) open(ctx context.Context, tell func(deploy.Event)) (*deploy.Client, error) {
	return deploy.Open(ctx, deploy.Where{Region: s.region, Profile: s.profile}, tell)
}

// try is a line to paste that talks to an app.
func try(url, app string) string {
	for _, m := range serve.Apps() {
		if m.Name == app {
			url += m.Try
		}
	}
	return "crier connect '" + url + "'"
}
