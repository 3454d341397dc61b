package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"crier/cluster"
	"crier/serve"
)

// others are the flags for several servers, and for a log on disk.
type others struct {
	peers    []string
	listen   string
	data     string
	key      secret
	nats     cluster.NATS
	replicas int
	timeout  time.Duration
}

func newOthers() others { return others{key: secret{name: "cluster key"}, timeout: 30 * time.Second} }

func (o *others) flags(f *pflag.FlagSet) {
	f.StringVar(&o.data, "data", "", "keep what topics know in `DIR`, over restarts")
	f.StringSliceVar(&o.peers, "cluster-peers", nil, "be one of several servers: `HOST:PORT,...` of all of them, with this one")
	f.StringVar(&o.listen, "cluster-listen", "", "listen for the other servers at `HOST:PORT`")
	o.key.flags(f, "the servers prove to each other that they belong together, and encrypt what they say, with this key")
	f.StringVar(&o.nats.URL, "nats", "", "be one of several servers that share the NATS JetStream at `URL`, such as nats://a:4222,nats://b:4222")
	f.StringVar(&o.nats.Credentials, "nats-creds", "", "the credentials for --nats, in `FILE`")
	f.StringVar(&o.nats.CA, "nats-ca", "", "the authority that signs the certificates of --nats, in `FILE` (PEM)")
	f.StringVar(&o.nats.Cert, "nats-cert", "", "the certificate to show to --nats, in `FILE` (PEM)")
	f.StringVar(&o.nats.Key, "nats-key", "", "the key of --nats-cert, in `FILE` (PEM)")
	f.IntVar(&o.replicas, "replicas", 0, "`N` servers keep the log, at most 5; by default as many as there are, at most 3")
	f.DurationVar(&o.timeout, "cluster-timeout", o.timeout, "send the clients to other servers if no leader is elected for `DURATION`")
}

// share says in config which log this server shares, if it shares one.
func (o *others) share(config *serve.Config) error {
	key, err := o.key.read()
	if err != nil {
		return err
	}
	several := len(o.peers) > 0
	switch {
	case o.nats.URL != "" && (several || o.data != "" || o.listen != ""):
		return errors.New("--nats is for a NATS of your own, --cluster-peers, --cluster-listen and --data for the one in crier: there can be one of the two")
	case o.nats.URL == "" && (o.nats.Credentials != "" || o.nats.CA != "" || o.nats.Cert != "" || o.nats.Key != ""):
		return errors.New("--nats-creds, --nats-ca, --nats-cert and --nats-key need --nats")
	case (o.nats.Cert == "") != (o.nats.Key == ""):
		return errors.New("--nats-cert and --nats-key go together")
	case several != (o.listen != ""):
		return errors.New("--cluster-peers and --cluster-listen go together")
	case key != "" && !several:
		return errors.New("--cluster-key needs --cluster-peers")
	case o.timeout <= 0:
		return fmt.Errorf("--cluster-timeout: %v is no time to wait", o.timeout)
	case o.replicas != 0 && !several && o.nats.URL == "":
		return errors.New("--replicas needs --cluster-peers or --nats")
	case !several && o.data == "" && o.nats.URL == "":
		return nil
	}
	config.Cluster = &cluster.Config{Timeout: o.timeout}
	if o.nats.URL != "" {
		o.nats.Replicas = o.replicas
		config.Cluster.NATS = &o.nats
		return nil
	}
	config.Cluster.Embedded = &cluster.Embedded{Listen: o.listen, Peers: o.peers, Key: key, Dir: o.data, Replicas: o.replicas}
	return nil
}
