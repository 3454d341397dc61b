package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"crier/cloud"
	"crier/spelling"
)

const prefix = "CRIER_"

// variable returns the name of the variable that sets a flag, without the
// prefix: CRIER_ADMIN_KEY sets --admin-key.
func variable(flag string) string { return strings.ToUpper(strings.ReplaceAll(flag, "-", "_")) }

// fromEnvironment sets flags that the command line does not from variables such
// as CRIER_ADMIN_KEY. An empty one counts as not set.
func fromEnvironment(flags *pflag.FlagSet) (err error) {
	flags.VisitAll(func(f *pflag.Flag) {
		name := prefix + variable(f.Name)
		value := os.Getenv(name)
		if f.Changed || value == "" || !settable(f) || err != nil {
			return
		}
		if e := flags.Set(f.Name, value); e != nil {
			err = fmt.Errorf("the environment's %s: %w", name, e)
		}
	})
	return err
}

// checkEnvironment refuses a variable that begins like ours and sets nothing,
// because it is probably misspelt. One that sets a flag of another command is
// fine.
func checkEnvironment(root *cobra.Command) error {
	known := variables(root)
	environment := os.Environ()
	slices.Sort(environment)
	for _, line := range environment {
		name, value, _ := strings.Cut(line, "=")
		rest, ours := strings.CutPrefix(name, prefix)
		if !ours || value == "" || slices.Contains(known, rest) || ofKubernetes.MatchString(line) {
			continue
		}
		if near := spelling.Nearest(rest, known); near != "" {
			return fmt.Errorf("the environment's %s sets nothing; did you mean %s?", name, prefix+near)
		}
		return fmt.Errorf("the environment's %s sets nothing: no command has a flag --%s", name, strings.ToLower(strings.ReplaceAll(rest, "_", "-")))
	}
	return nil
}

// settable reports whether a flag can be set in the environment.
func settable(f *pflag.Flag) bool { return f.Name != "help" && f.Name != "version" }

// variables returns the names, without the prefix, of all variables that set
// something: flags of all commands, and what cloud.Run reads.
func variables(cmd *cobra.Command) []string {
	names := slices.Clone(cloud.Variables)
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if settable(f) {
			names = append(names, variable(f.Name))
		}
	})
	for _, sub := range cmd.Commands() {
		names = append(names, variables(sub)...)
	}
	return names
}

// ofKubernetes matches what Kubernetes sets in every container if there is a
// service crier, or crier-metrics.
// https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
var ofKubernetes = regexp.MustCompile(`^CRIER_(\w+_)?(SERVICE_HOST=|SERVICE_PORT(_\w+)?=|PORT(_\d+_(TCP|UDP|SCTP))?=(tcp|udp|sctp)://|PORT_\d+_(TCP|UDP|SCTP)_(PROTO|PORT|ADDR)=)`)
