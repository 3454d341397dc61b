package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"crier/spelling"
)

// flagError says what is wrong with a flag, and what was probably meant.
func flagError(cmd *cobra.Command, err error) error {
	meant := "see " + cmd.CommandPath() + " --help"
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		name := unknown.GetSpecifiedName()
		near := spelling.Nearest(name, flagsOf(cmd))
		switch {
		case near != "":
			meant = "did you mean --" + near + "?"
		case name == "url" && strings.Contains(cmd.Use, "[URL]"):
			meant = "the address needs none: " + cmd.CommandPath() + " URL"
		}
	}
	return fmt.Errorf("%w; %s", err, meant)
}

// flagsOf returns the names of a command's flags.
func flagsOf(cmd *cobra.Command) (names []string) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	return names
}

// noArguments refuses arguments. An address may have been meant for a flag.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	meant := "see " + cmd.CommandPath() + " --help"
	for _, flag := range []string{"listen", "url"} {
		if cmd.Flags().Lookup(flag) != nil {
			meant = "an address goes after --" + flag
		}
	}
	return fmt.Errorf("%s takes no argument %q; %s", cmd.Name(), args[0], meant)
}
