package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"crier/deploy"
)

// deployment is a stack as a person asks for it.
type deployment struct {
	stack
	set           *pflag.FlagSet
	app           appName
	entrance      entrance
	throttle      int
	deliveries    int
	concurrency   int
	coalesce      time.Duration
	lambdaZip     string
	dryRun        bool
	printTemplate bool
	printPolicy   bool
}

func newDeploy() *cobra.Command {
	var d deployment
	cmd := &cobra.Command{
		Use:   "deploy",
		Short: "Put an app on AWS, where it needs no server",
		Long: `Put an app on AWS as one CloudFormation stack, or change an existing stack. It
consists of a WebSocket API that holds the connections, a Lambda function that
runs the app's rules, and a DynamoDB table of the connections. While no
messages are sent, nothing runs, and it costs next to nothing. Deploying the
same app again changes nothing.

Pages may connect that a visitor's own machine serves, as
http://localhost:8080; --allow-origin adds yours. Everybody else who has the
address may connect, unless there are keys or tokens. An existing stack keeps
its keys, tokens and origins. If one of these flags is given, they all hold
anew.

Your address is public: everybody can try it, and pays nothing. docs/aws.md says
what that can cost. --throttle, --deliveries and --concurrency limit it.

The command needs AWS credentials, as AWS's own tools do. docs/aws.md explains
step by step how to get them, and what a stack costs.

The function is this same program. On Linux crier uploads itself. On other
systems it is built: run crier deploy in a clone of crier, with Go installed, or
give it the code with --lambda-zip.

ctrl-C stops watching; CloudFormation continues.`,
		Example: `  crier deploy                                   # a stack called crier
  crier deploy --name my-game --app rooms --region eu-central-1
  crier deploy --name my-game --key-file key
  crier deploy --name my-game --dry-run          # what would change?
  crier deploy --lambda-zip crier-lambda.zip     # bootstrap, built for Linux
  crier deploy --print-policy                    # the permissions it needs
  crier deploy --print-template > stack.yaml     # for your own pipeline`,
	}
	d.command(cmd, d.run)
	f := cmd.Flags()
	f.Var(&d.app, "app", "the app: "+strings.Join(deploy.Apps, ", ")+"; an existing stack keeps its app (default "+deploy.Apps[0]+")")
	d.entrance.flags(f)
	f.IntVar(&d.throttle, "throttle", 0, "take at most `N` messages a second from clients, and twice as many at once (default 100)")
	f.IntVar(&d.deliveries, "deliveries", 0, "send at most `N` messages a second to clients, all together, on average over a minute; 0 is no limit (default 2000)")
	f.IntVar(&d.concurrency, "concurrency", 0, "run the function at most `N` times at once; they are taken from the account's runs (default: no limit of its own)")
	f.DurationVar(&d.coalesce, "coalesce", 0, "let messages to the same topics wait for each other for `DURATION`, and send them as one, each on a line of its own: clients must take them apart; 0 is off")
	d.set = f
	f.StringVar(&d.lambdaZip, "lambda-zip", "", "the function's code, from `FILE`")
	f.BoolVar(&d.dryRun, "dry-run", false, "show what would change, and leave nothing behind")
	f.BoolVar(&d.printTemplate, "print-template", false, "print the CloudFormation template, and do nothing else")
	f.BoolVar(&d.printPolicy, "print-policy", false, "print the IAM policy that deploying this stack needs, and do nothing else")
	return cmd
}

// An appName is one of deploy.Apps. It implements pflag.Value.
type appName string

func (a *appName) String() string { return string(*a) }

func (a *appName) Type() string { return "APP" }

func (a *appName) Set(value string) error {
	if value == "live" {
		return errors.New("live is for crier serve, on a laptop or a server; it does not run on AWS yet")
	}
	if !slices.Contains(deploy.Apps, value) {
		return errors.New("must be one of " + strings.Join(deploy.Apps, ", "))
	}
	*a = appName(value)
	return nil
}

func (d *deployment) run(ctx context.Context) error {
	switch {
	case d.printTemplate:
		return d.template()
	case d.printPolicy:
		policy, err := deploy.Policy(d.name, d.region)
		if err == nil {
			_, err = fmt.Fprint(d.out, policy)
		}
		return err
	}
	if err := d.deploy(ctx); err != nil {
		return fmt.Errorf("deploy: %w", err)
	}
	return nil
}

func (d *deployment) deploy(ctx context.Context) error {
	if err := deploy.CheckName(d.name); err != nil {
		return err
	}
	parameters, err := d.parameters()
	if err != nil {
		return err
	}
	progress := d.errOut
	if d.dryRun {
		progress = d.out // it is the result
	}
	r := newReport(progress)
	client, err := d.open(ctx, r.tell)
	if err != nil {
		return err
	}
	code, err := d.code(ctx)
	if err != nil {
		return err
	}
	result, err := client.Deploy(ctx, deploy.Request{Name: d.name, App: string(d.app), Code: code, Parameters: parameters, DryRun: d.dryRun})
	if err != nil {
		return err
	}
	return d.done(result)
}

// template prints the template as the flags want the stack.
func (d *deployment) template() error {
	parameters, err := d.parameters()
	if err == nil {
		parameters["App"] = string(d.app)
		var text string
		if text, err = deploy.Template(parameters); err == nil {
			_, err = fmt.Fprint(d.out, text)
		}
	}
	if err != nil {
		return fmt.Errorf("deploy: %w", err)
	}
	return nil
}

// parameters returns those of the template that flags have set.
func (d *deployment) parameters() (map[string]string, error) {
	parameters, err := d.entrance.parameters()
	if err != nil {
		return nil, err
	}
	if parameters == nil {
		parameters = make(map[string]string)
	}
	if d.set.Changed("throttle") {
		if d.throttle < 1 {
			return nil, errors.New("--throttle: at least one message a second")
		}
		parameters["ThrottleRate"], parameters["ThrottleBurst"] = strconv.Itoa(d.throttle), strconv.Itoa(2*d.throttle)
	}
	if d.set.Changed("deliveries") {
		if d.deliveries < 0 {
			return nil, errors.New("--deliveries: at least one message a second; 0 is no limit")
		}
		parameters["DeliveryRate"] = strconv.Itoa(d.deliveries)
	}
	if d.set.Changed("coalesce") {
		if d.coalesce < 0 || d.coalesce > time.Second || d.coalesce%time.Millisecond != 0 {
			return nil, errors.New("--coalesce: whole milliseconds, at most 1s; 0 is off")
		}
		parameters["Coalesce"] = strconv.FormatInt(d.coalesce.Milliseconds(), 10)
	}
	if d.set.Changed("concurrency") {
		if d.concurrency < 0 {
			return nil, errors.New("--concurrency: at least one run; 0 is no limit")
		}
		parameters["Concurrency"] = strconv.Itoa(d.concurrency)
	}
	return parameters, nil
}

// code is what the function is to run: what was named, or this program, or one
// that is built.
func (d *deployment) code(ctx context.Context) (deploy.Code, error) {
	if d.lambdaZip != "" {
		return deploy.ReadZip(d.lambdaZip)
	}
	why := errors.New("this program runs on " + runtime.GOOS + ", and Lambda on Linux")
	if runtime.GOOS == "linux" {
		path, err := os.Executable()
		if err != nil {
			return deploy.Code{}, fmt.Errorf("looking for this program: %w", err)
		}
		code, err := deploy.CodeOf(path)
		if err == nil {
			return code, nil
		}
		why = err
	}
	fmt.Fprintln(d.errOut, "building the function's code: "+why.Error())
	code, err := deploy.Build(ctx)
	if err != nil && !errors.Is(err, deploy.ErrInterrupted) {
		err = fmt.Errorf("%w\nrun crier deploy in a clone of crier, with Go installed, or on Linux, or name a file: --lambda-zip", err)
	}
	return code, err
}

func (d *deployment) done(r deploy.Result) error {
	var err error
	switch {
	case d.dryRun && r.Changed:
		_, err = fmt.Fprintln(d.out, "\nThat is what crier deploy would do. Nothing was changed.")
	case d.dryRun:
		_, err = fmt.Fprintf(d.out, "%s is as it should be: there is nothing to do.\n", d.name)
	default:
		state := "is there"
		if !r.Changed {
			state = "was as it should be; nothing was changed"
		}
		_, err = fmt.Fprintf(d.out, "\n%s %s:\n\n  %s\n\nSay something, in two terminals:\n\n  %s\n\n", d.name, state, r.Stack.URL, try(r.Stack.URL, r.Stack.App))
		if err == nil && r.Stack.Origins == "" {
			_, err = fmt.Fprintf(d.out, "Of pages, only those at http://localhost may connect. To let yours in:\n\n  crier deploy --name %s --region %s --allow-origin https://game.example.com\n\n", d.name, r.Stack.Region)
		}
	}
	return err
}
