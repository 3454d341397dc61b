package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"crier/certs"
	"crier/localca"
	"crier/serve"
)

func newServe() *cobra.Command {
	config := serve.Defaults()
	var l logging
	var slow slowPolicy
	page := onOff(config.Console)
	var o own
	var id identity
	who := newRights()
	with := newOthers()
	var pages ownPages
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve every app to WebSockets, until ctrl-C",
		Long: `Serve all of crier's apps to WebSockets, until ctrl-C, SIGTERM or SIGHUP.

When it stops, it accepts no new clients. It disconnects the others one after
the other over the time of --drain, so that they do not all reconnect at once.
A second ctrl-C ends the server at once.

With --data, what topics of live know outlives the server. With --cluster-peers
or --nats, several servers are as one: one order of messages for all clients,
one list of those who are there. A client may connect to any of them.

Everybody who can reach the server may connect, unless there are keys (--key),
tokens (--token-secret, --token-key, --token-jwks) or a service of your own
(--authorize) that says who may.

Programs on this machine may use the management API (/publish, /topics,
/@connections, /users). With an admin key, only those who have the key may use
it: set one before other machines can reach the server.`,
		Example: `  crier serve
  crier serve --listen :8080 --admin-key-file key      # for other machines, too
  crier serve --listen :8080 --key classroom           # clients need the key
  crier serve --token-secret-file secret --rate 20/s   # users of your service
  crier serve --files game --watch                     # your own page at /
  crier serve --allow-origin https://game.example.com  # pages from elsewhere
  crier serve --listen :443 --domain game.example.com  # wss, with a certificate
  crier serve --idle-timeout 10m                       # disconnect idle clients
  crier serve --data /var/lib/crier                    # keep history on disk
  crier serve --cluster-listen :6222 --cluster-peers a:6222,b:6222,c:6222 \
      --cluster-key-file key
  CRIER_LISTEN=:80 CRIER_LOG_LEVEL=debug crier serve`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config.Skip, config.Console = slow == "skip", bool(page)
			if !cmd.Flags().Changed("backlog") {
				config.Backlog = max(min(config.Backlog, config.Memory/8), 8*config.MaxMessage)
			}
			if err := with.share(&config); err != nil {
				return fmt.Errorf("serve: %w", err)
			}
			log := l.open(cmd.ErrOrStderr())
			defer log.close()
			log.lines.hold() // until the banner is there
			config.Log = log.Logger
			var err error
			if config.Guard, err = who.open(log.Logger); err != nil {
				return fmt.Errorf("serve: %w", err)
			}
			defer config.Guard.Close()
			closePages, err := pages.open(&config, cmd.Flags())
			if err != nil {
				return fmt.Errorf("serve: %w", err)
			}
			defer closePages()
			ctx, stop := untilStopped(cmd.Context())
			defer stop()
			return o.serveBeside(ctx, config, id, log, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&config.Listen, "listen", config.Listen, "listen at `HOST:PORT`; without a host, on every interface")
	who.flags(f)
	f.StringSliceVar(&config.AllowOrigins, "allow-origin", nil, "let pages of `ORIGIN` connect, in addition to those of this machine (repeatable; * is all, null is pages from files)")
	f.Var((*size)(&config.MaxMessage), "max-message", "`SIZE` of the largest message, in bytes, or such as 512KiB")
	f.IntVar(&config.MaxConnections, "max-connections", config.MaxConnections, "at most `N` connections at once")
	limitFlags(f, &config)
	f.Var((*size)(&config.Backlog), "backlog", "`SIZE` of the messages kept for the slowest reader of a topic")
	f.Var((*size)(&config.Memory), "memory", "`SIZE` of everything kept for clients: messages, posts, parts of messages; by default a quarter of what the process may have, at most 256MiB")
	f.Lookup("memory").DefValue = "" // it depends on the machine, and help must not
	f.Var(&slow, "slow", "`close|skip`: disconnect readers that fall behind, or skip what they have not read and tell them how many messages they missed")
	f.DurationVar(&config.Ping, "ping-interval", config.Ping, "ping a client that is silent for `DURATION`, and disconnect it after twice as long; 0 means never")
	f.DurationVar(&config.MessageTimeout, "message-timeout", config.MessageTimeout, "disconnect a client whose message takes longer than `DURATION` from its first byte to its last; 0 means never")
	f.DurationVar(&config.Idle, "idle-timeout", config.Idle, "disconnect a client after `DURATION` without a message in either direction; 0 means never")
	f.DurationVar(&config.Drain, "drain", config.Drain, "at the end, disconnect the clients over `DURATION`, or sooner if they are few")
	liveFlags(f, &config)
	with.flags(f)
	id.flags(f)
	pages.flags(f)
	f.Var(&page, "console", "show browsers crier's page at /, or at /console if there are --files: `on|off`; crier.js, for your own pages, is served in any case")
	f.StringVar(&o.file, "gateway", "", "also serve the API that `FILE` describes, with your own handlers: see crier gateway --help")
	l.addFlags(f)
	return cmd
}

// liveFlags are for what topics of live keep.
func liveFlags(f *pflag.FlagSet, config *serve.Config) {
	f.DurationVar(&config.Linger, "linger", config.Linger, "in live, a client may come back within `DURATION` and be who it was")
	f.IntVar(&config.History, "history", config.History, "in live, keep the last `N` messages of each topic")
	f.Var((*size)(&config.HistoryBytes), "history-bytes", "in live, at most this `SIZE` of them")
	f.DurationVar(&config.HistoryAge, "history-age", config.HistoryAge, "in live, none of them for longer than `DURATION`")
	f.IntVar(&config.Keys, "keys", config.Keys, "in live, at most `N` keys in the state of a topic")
	f.Var((*size)(&config.StateBytes), "state-bytes", "in live, at most this `SIZE` of state in a topic")
	f.DurationVar(&config.IdleTopics, "idle-topics", config.IdleTopics, "in live, forget the state of a topic when nobody was in it for `DURATION`")
}

// A slowPolicy is close or skip. It implements pflag.Value.
type slowPolicy string

func (p *slowPolicy) String() string { return cmp.Or(string(*p), "close") }

func (p *slowPolicy) Type() string { return "POLICY" }

func (p *slowPolicy) Set(value string) error {
	if value != "close" && value != "skip" {
		return errors.New("must be close or skip")
	}
	*p = slowPolicy(value)
	return nil
}

// onOff is a bool that is written as on or off. It implements pflag.Value.
type onOff bool

func (o *onOff) String() string {
	if *o {
		return "on"
	}
	return "off"
}

func (o *onOff) Type() string { return "on or off" }

func (o *onOff) Set(value string) error {
	if value != "on" && value != "off" {
		return errors.New("must be on or off")
	}
	*o = value == "on"
	return nil
}

// identity says which certificate the server uses.
type identity struct {
	cert, key string   // files
	domains   []string // to get certificates for
}

func (id *identity) flags(f *pflag.FlagSet) {
	f.StringVar(&id.cert, "tls-cert", "", "serve wss and https only, with the certificate in `FILE` (PEM); it is read again when the file changes")
	f.StringVar(&id.key, "tls-key", "", "the key of --tls-cert, in `FILE` (PEM)")
	f.StringSliceVar(&id.domains, "domain", nil, "serve wss and https only, with a certificate that Let's Encrypt signs for `NAME` (repeatable); port 443 of this name must lead here")
}

// show gives the server its certificate, if it has one. It returns what must be
// done once the server listens.
func (id identity) show(ctx context.Context, config *serve.Config) (listening func() error, err error) {
	listening = func() error { return nil }
	config.Domains = id.domains
	switch {
	case (id.cert == "") != (id.key == ""):
		return nil, errors.New("--tls-cert and --tls-key go together")
	case id.cert != "" && len(id.domains) > 0:
		return nil, errors.New("--tls-cert is for a certificate of your own, --domain gets one: there can be one of the two")
	case id.cert != "":
		config.TLS, err = certs.FromFiles(id.cert, id.key, config.Log)
	case len(id.domains) > 0:
		var dir string
		if dir, err = localca.Dir(); err == nil {
			keeper := certs.NewKeeper(ctx, config.Listen, dir, config.Log)
			config.TLS = keeper.TLS()
			listening = func() error { return keeper.Keep(ctx, id.domains) }
		}
	}
	return listening, err
}

// url returns the server's address: the domain, if there is one, or the address
// that the server itself knows.
func (id identity) url(s *serve.Server) string {
	if len(id.domains) > 0 {
		return "wss://" + id.domains[0]
	}
	return s.URL()
}

// serveBeside serves the built-in apps, and the API beside them if there is
// one.
func (o own) serveBeside(ctx context.Context, config serve.Config, id identity, log journal, out io.Writer) error {
	if o.file != "" {
		opened, _, err := o.open(ctx, log, out)
		if err != nil {
			return fmt.Errorf("serve: %w", err)
		}
		defer opened.API.Close()
		config.Own = opened
	}
	return serveUntil(ctx, config, id, log, out)
}

func serveUntil(ctx context.Context, config serve.Config, id identity, log journal, out io.Writer) error {
	listening, err := id.show(ctx, &config)
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	s, err := serve.Open(config)
	if err != nil {
		return fmt.Errorf("serve: %w", orAnotherPort(err))
	}
	if len(id.domains) > 0 {
		log.lines.release() // to get a certificate takes a while, and may fail
	}
	if err := listening(); err != nil {
		s.Close()
		return fmt.Errorf("serve: %w", err)
	}
	newBanner(id.url(s), config).write(out)
	log.lines.release()
	config.Log.Info("serving", "url", s.URL())
	err = s.Run(ctx)
	config.Log.Info("stopped")
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}
