package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"crier/access"
	"crier/api"
	"crier/door"
	"crier/localca"
	"crier/serve"
)

// apiGatewayTimeout is how long API Gateway waits for an integration.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
const apiGatewayTimeout = 29 * time.Second

// own holds the flags for an API of the user's own.
type own struct {
	file      string
	accessKey string
	secretKey string
	watch     bool
	limits    bool
	events    bool
	tables    *tableStore // or nil
}

func newGateway() *cobra.Command {
	config := serve.Defaults()
	config.Limits = serve.Limits{} // API Gateway's are others
	config.Drain, config.Console = 0, false
	var l logging
	o := own{tables: &tableStore{}}
	key := keyring{name: "admin key"}
	with := newOthers()
	cmd := &cobra.Command{
		Use:   "gateway [FILE]",
		Short: "Serve your own API Gateway WebSocket handlers on this machine",
		Long: `Serve a WebSocket API as API Gateway does: events go to your own handlers, which
are Lambda functions that crier runs (Node, Python, or a bootstrap in any
language), Lambda invoke endpoints, or web servers. The API is described in
FILE, crier.yaml if none is given.

Handlers post to connections, and close them, through the management API at
https://{domainName}/{stage}/@connections, with any unmodified AWS SDK. The same
port serves plain HTTP and TLS, with a certificate that the functions' processes
trust. Some handlers build the name that an API has at AWS from apiId: in
functions, and only there, this name leads to crier, too.`,
		Example: `  crier gateway init                   # writes crier.yaml
  crier gateway                        # serves it
  crier gateway --watch --events       # while you write handlers
  crier gateway --dynamodb             # with tables in memory
  crier gateway invoke --body hello
  crier gateway --aws-limits           # as strict as the service`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.file = "crier.yaml"
			if len(args) == 1 {
				o.file = args[0]
			}
			if err := with.share(&config); err != nil {
				return fmt.Errorf("gateway: %w", err)
			}
			log := l.open(cmd.ErrOrStderr())
			defer log.close()
			log.lines.hold() // until the banner is there
			config.Log = log.Logger
			config.Guard = new(access.Guard)
			var err error
			if config.Guard.AdminKeys, err = key.open(log.Logger); err != nil {
				return fmt.Errorf("gateway: %w", err)
			}
			config.Backlog = max(min(config.Backlog, config.Memory/8), 8*config.MaxMessage)
			ctx, stop := untilStopped(cmd.Context())
			defer stop()
			return o.serve(ctx, config, log, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&config.Listen, "listen", config.Listen, "listen at `HOST:PORT`; without a host, on every interface")
	f.BoolVar(&o.watch, "watch", false, "reload FILE, and functions, when they change; connections stay")
	f.BoolVar(&o.events, "events", false, "print events, and the handlers' answers, as JSON")
	o.tables.addFlag(f)
	f.BoolVar(&o.limits, "aws-limits", false, "apply API Gateway's limits: frames of 32 KB, messages of 128 KB, no binary, 10 min idle, 2 h in all, 29 s for a handler, no answers that it would refuse")
	f.StringVar(&o.accessKey, "access-key", "", "requests to the management API must be signed with this `KEY`")
	f.StringVar(&o.secretKey, "secret-key", "", "the `SECRET` of --access-key; without these two and without an admin key, programs on this machine may sign with any key")
	key.flags(f, "the management API requires this key (Authorization: Bearer KEY)")
	f.StringSliceVar(&config.AllowOrigins, "allow-origin", nil, "let pages of `ORIGIN` connect, in addition to those of this machine (repeatable; * is all, null is pages from files)")
	f.Var((*size)(&config.MaxMessage), "max-message", "`SIZE` of the largest message, in bytes, or such as 512KiB")
	f.DurationVar(&config.Drain, "drain", config.Drain, "at the end, disconnect the clients over `DURATION`, or sooner if they are few")
	with.flags(f)
	l.addFlags(f)
	cmd.AddCommand(newGatewayInit(), newGatewayInvoke(), newGatewaySchema())
	return cmd
}

// serve serves the API alone.
func (o own) serve(ctx context.Context, config serve.Config, log journal, out io.Writer) error {
	defer o.tables.close()
	opened, file, err := o.open(ctx, log, out)
	if err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	defer opened.API.Close()
	opened.Alone = true
	config.Own = opened
	s, err := serve.Open(config)
	if err != nil {
		return fmt.Errorf("gateway: %w", orAnotherPort(err))
	}
	fmt.Fprint(out, gatewayBanner(s.URL(), config.Listen, file, opened.API.InvokeURL()), o.tables.banner(file))
	log.lines.release()
	config.Log.Info("serving", "url", s.URL()+"/"+file.Stage)
	err = s.Run(ctx)
	config.Log.Info("stopped")
	if err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	return nil
}

// open starts the API that the command line names. Who calls it must close it.
func (o own) open(ctx context.Context, log journal, out io.Writer) (*serve.OwnAPI, *api.File, error) {
	if (o.accessKey == "") != (o.secretKey == "") {
		return nil, nil, errors.New("--access-key and --secret-key go together")
	}
	file, err := api.Load(o.file)
	if err != nil {
		return nil, nil, err
	}
	g := &serve.OwnAPI{
		Limits:    o.limits,
		Signed:    o.accessKey != "",
		AccessKey: cmp.Or(o.accessKey, "crier"+strings.ToUpper(rand.Text()[:15])),
		SecretKey: cmp.Or(o.secretKey, rand.Text()+rand.Text()[:14]),
	}
	options, authority, err := o.options(g, file, log, out)
	if err != nil {
		return nil, nil, err
	}
	if err := o.tables.open(ctx, g, file, log, &options); err != nil {
		return nil, nil, err
	}
	g.TLS, g.Aliases = authority.Config(), file.Aliases()
	// Handlers have a listener of their own, whose address is known before they
	// start and does not depend on --listen.
	if g.Door, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, nil, fmt.Errorf("listen for handlers: %w", err)
	}
	options.Door = g.Door.Addr().String()
	if g.API, err = api.Follow(file, options); err != nil {
		g.Door.Close()
	}
	return g, file, err
}

// options returns how the functions run: trusting the certificate of this
// machine, with keys that it accepts.
func (o own) options(g *serve.OwnAPI, file *api.File, log journal, out io.Writer) (api.Options, *localca.Authority, error) {
	dir, err := localca.Dir()
	if err != nil {
		return api.Options{}, nil, err
	}
	authority, err := localca.Open(dir, file.Aliases()...)
	if err != nil {
		return api.Options{}, nil, err
	}
	t := newTeller(log, o.events, out)
	options := api.Options{
		NewID:     door.NewID,
		Variables: append(authority.Variables(), "AWS_ACCESS_KEY_ID="+g.AccessKey, "AWS_SECRET_ACCESS_KEY="+g.SecretKey),
		Files:     dir,
		Watch:     o.watch,
		Report:    t.report,
		Output:    t.output,
		Log:       log.Logger,
	}
	if o.limits {
		options.Timeout, options.Strict = apiGatewayTimeout, true
	}
	return options, authority, nil
}

// gatewayBanner tells a person what is served and what to do next.
func gatewayBanner(server, listen string, file *api.File, invoke string) string {
	var b strings.Builder
	url := server + "/" + file.Stage
	fmt.Fprintf(&b, "crier serves %s\n\n", file.Path)
	table := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	for _, key := range file.Keys() {
		fmt.Fprintf(table, "  %s\t%s\n", key, file.Describe(key))
	}
	table.Flush()
	fmt.Fprintf(&b, "\nTalk to it:\n\n  npx wscat -c %s\n\n", url)
	if there := elsewhere(server, listen); there != "" {
		fmt.Fprintf(&b, "From another machine of this network:\n\n  npx wscat -c %s\n\n", there+"/"+file.Stage)
	}
	if functions := file.Functions(); len(functions) > 0 {
		fmt.Fprintf(&b, "Invoke a function alone:\n\n  curl -d '{}' %s/2015-03-31/functions/%s/invocations\n\n", invoke, functions[0])
	}
	return b.String()
}

func newGatewayInit() *cobra.Command {
	var from string
	var overwrite bool
	cmd := &cobra.Command{
		Use:   "init [FILE]",
		Short: "Write a commented crier.yaml and a first handler",
		Long: `Write a commented crier.yaml and a first handler.

With --from, write the crier.yaml of an API that is described already: in a
serverless.yml, in a template of AWS SAM or CloudFormation, or in what cdk
synth makes. Routes, functions with their environment, the authorizer and the
tables are taken over. What must be built or filled in, and what is left out,
is printed and noted in comments of crier.yaml. Nothing is executed, and no
service is contacted.`,
		Example: `  crier gateway init
  crier gateway init chat/crier.yaml
  crier gateway init --from serverless.yml
  crier gateway init --from cdk.out/Chat.template.json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := "crier.yaml"
			if len(args) == 1 {
				path = args[0]
			}
			if from != "" {
				if err := importAPI(from, path, overwrite, cmd.OutOrStdout()); err != nil {
					return fmt.Errorf("gateway init: %w", err)
				}
				return nil
			}
			if err := writeAll(map[string][]byte{path: api.Example}, overwrite); err != nil {
				return fmt.Errorf("gateway init: %w", err)
			}
			handler := filepath.Join(filepath.Dir(path), "index.js")
			if there, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "index.*")); len(there) > 0 {
				fmt.Fprintf(cmd.OutOrStdout(), "wrote %s; say there what your handlers are, then: crier gateway\n", path)
				return nil
			}
			if err := writeAll(map[string][]byte{handler: api.ExampleHandler}, false); err != nil {
				return fmt.Errorf("gateway init: %w", err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "wrote %s and %s; next: crier gateway --watch%s\n", path, handler, strings.TrimSuffix(" "+path, " crier.yaml"))
			return nil
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "take the API over from `FILE`: a serverless.yml, or a template of SAM, CloudFormation or the CDK")
	cmd.Flags().BoolVar(&overwrite, "force", false, "overwrite FILE, and handlers that are part of the API's description")
	return cmd
}

func newGatewaySchema() *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON schema of crier.yaml, for editors",
		Example: "  crier gateway schema > crier.schema.json",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(api.Schema)
			return err
		},
	}
}

func newGatewayInvoke() *cobra.Command {
	var o own
	var route, function, connection, body, domain string
	cmd := &cobra.Command{
		Use:   "invoke [FILE]",
		Short: "Give one event to a handler and print its answer",
		Long: `Start the handler of a route, give it one event, print its answer, and stop it,
like the test button of the Lambda console.

If crier gateway runs at --domain meanwhile, the handler can post to its
connections. Without --route, the body selects the route, as a message would.
With --function the body is the event, as JSON: use it for functions that are
not invoked by connections. The exit code is 1 if the handler fails.`,
		Example: `  crier gateway invoke --route '$connect'
  crier gateway invoke --body hello
  crier gateway invoke --connection L0SM9cOFvHcCIhw= --body hello
  crier gateway invoke --function nightly --body '{"time":"2026-11-21T00:00Z"}'`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.file = "crier.yaml"
			if len(args) == 1 {
				o.file = args[0]
			}
			if function != "" && (route != "" || connection != "") {
				return errors.New("gateway invoke: --function does not go with --route and --connection: its event is about neither")
			}
			c := &api.Connection{ID: cmp.Or(connection, door.NewID()), Domain: domain, SourceIP: "127.0.0.1", Connected: time.Now()}
			ctx, stop := untilStopped(cmd.Context())
			defer stop()
			answer, err := o.try(ctx, c, route, function, []byte(body), cmd.OutOrStdout(), cmd.ErrOrStderr())
			if err != nil {
				return fmt.Errorf("gateway invoke: %w", err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s\n", answer)
			return nil
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&route, "route", "", "`KEY` of the route: $connect, $disconnect, $default or one of your own")
	f.StringVar(&function, "function", "", "`NAME` of a function, as crier.yaml has it, which gets the body alone")
	f.StringVar(&connection, "connection", "", "`ID` of the connection that the event is about; default: a new one")
	f.StringVar(&body, "body", "", "`TEXT` of the message, or the function's event; default: {}")
	f.StringVar(&domain, "domain", "localhost:8080", "`HOST:PORT` that the event names, to which the handler posts")
	f.BoolVar(&o.events, "events", false, "print the event, too")
	f.StringVar(&o.accessKey, "access-key", "", "`KEY` that the handler signs with, if that gateway requires one or has an admin key")
	f.StringVar(&o.secretKey, "secret-key", "", "the `SECRET` of --access-key")
	return cmd
}

// doorAt returns the address of the gateway at a domain, to which a handler's
// alias leads. If the domain is not this machine, there is none.
func doorAt(domain string) string {
	host, port, err := net.SplitHostPort(domain)
	if err != nil {
		host, port = domain, "443"
	}
	if host == "localhost" {
		return net.JoinHostPort("127.0.0.1", port)
	}
	ip := net.ParseIP(host)
	own, _ := net.InterfaceAddrs() // without them, loopback must do
	isOwn := func(a net.Addr) bool { n, ok := a.(*net.IPNet); return ok && n.IP.Equal(ip) }
	if ip == nil || !ip.IsLoopback() && !slices.ContainsFunc(own, isOwn) {
		return ""
	}
	return net.JoinHostPort(host, port)
}

// try hands one event to the handler of a route, or to a function.
func (o own) try(ctx context.Context, c *api.Connection, route, function string, body []byte, out, errOut io.Writer) ([]byte, error) {
	file, err := api.Load(o.file)
	if err != nil {
		return nil, err
	}
	if route == "" {
		route, _ = file.Route(body)
	}
	if function == "" {
		file.Only(route)
	} else if err := file.OnlyFunction(function); err != nil {
		return nil, err
	}
	log := logging{}.open(errOut)
	defer log.close()
	g := &serve.OwnAPI{AccessKey: cmp.Or(o.accessKey, "crier"), SecretKey: cmp.Or(o.secretKey, "crier")}
	options, _, err := o.options(g, file, log, out)
	if err != nil {
		return nil, err
	}
	remindOfDynamoDB(file, log, &options)
	options.Door = doorAt(c.Domain)
	a, err := api.Open(file, options)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	if function != "" {
		return a.Invoke(ctx, function, body)
	}
	answer, report := a.Try(ctx, c, route, body)
	report.Answer = nil // the caller prints it
	if _, ok := file.Routes[route]; ok {
		options.Report(report)
	}
	return answer, report.Cause
}
