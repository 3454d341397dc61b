// Crier is a broadcast backend with nothing to manage: every message goes to
// all connected clients, including the sender.
//
// Each command is in a file of its own.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"crier/cloud"
)

func main() {
	if len(os.Args) == 1 && cloud.InLambda() {
		fmt.Fprintln(os.Stderr, "crier: "+cloud.Run(context.Background()).Error())
		os.Exit(1)
	}
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole program. It returns the exit code, 0 or 1.
func run(args []string, in io.Reader, out, errOut io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	if err := root.Execute(); err != nil {
		fmt.Fprintln(errOut, "crier: "+printable(err.Error())) // a server's words may be in it
		return 1
	}
	return 0
}

// untilStopped returns a context that is done when the user or the system asks
// the program to end: with ctrl-C, with SIGTERM, or by closing the terminal,
// unless the program was started to survive that, as with nohup. A second
// signal ends the program at once.
func untilStopped(ctx context.Context) (context.Context, context.CancelFunc) {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(ctx, signals...)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "crier",
		Short: "A broadcast backend with nothing to manage",
		Long: `crier is a broadcast backend with nothing to manage: every message goes to all
connected clients, including the sender, over a plain WebSocket.

Every flag of every command can also be set in the environment: --admin-key is
CRIER_ADMIN_KEY. A variable CRIER_… that is no flag of any command is refused.
With NO_COLOR=1 in the environment, nothing has colours.`,
		Example: `  crier serve                       # in one terminal
  crier connect                     # in two others: type something
  crier publish hello everyone      # from a script
  crier ls                          # who is connected`,
		SilenceErrors: true, // run prints them
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkEnvironment(cmd.Root()); err != nil {
				return err
			}
			return fromEnvironment(cmd.Flags())
		},
	}
	root.DisableAutoGenTag = true
	root.Version = thisVersion()
	root.SetUsageFunc(printUsage)
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(newServe(), newGateway(), newConnect(), newPublish(), newList(), newTopics(), newKick(), newBench(),
		newDeploy(), newInfo(), newLogs(), newRemove(), newToken(), newHealth(), newVersion())
	return root
}
