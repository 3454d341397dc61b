package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"crier/files"
	"crier/serve"
)

// ownPages are pages that the server has beside the sockets.
type ownPages struct {
	dir   string
	watch bool
}

func (p *ownPages) flags(f *pflag.FlagSet) {
	f.StringVar(&p.dir, "files", "", "serve your own pages from `DIR` at /; nothing whose name begins with a dot, and nothing outside of it")
	f.BoolVar(&p.watch, "watch", false, "with --files: pages load themselves again when something in the directory changes")
}

// private are the flags that name files, or a directory, that nobody else should
// read.
var private = []string{
	"key-file", "publish-key-file", "admin-key-file", "token-secret-file", "tls-key", "data", "cluster-key-file", "nats-creds", "nats-key",
}

// open gives the server its pages, if it has some. What the directory has at a
// path of the server's own cannot be reached.
func (p *ownPages) open(config *serve.Config, f *pflag.FlagSet) (closePages func(), err error) {
	if p.dir == "" {
		if p.watch {
			return nil, errors.New("--watch needs --files")
		}
		return func() {}, nil
	}
	pages, err := files.Open(files.Config{Dir: p.dir, Watch: p.watch, Log: config.Log})
	if err != nil {
		return nil, fmt.Errorf("--files: %w", err)
	}
	for _, name := range private {
		if path := f.Lookup(name).Value.String(); path != "" && pages.Publishes(path) {
			pages.Close()
			return nil, fmt.Errorf("--files %s has %s, of --%s, so everybody could read that: move it out of there", p.dir, path, name)
		}
	}
	config.Files = pages
	if len(pages.Pages()) == 0 {
		config.Log.Warn("there is no index.html in the directory of --files, so there is no page at / yet", "directory", p.dir)
	}
	if hidden := pages.Hides(config.Paths()); len(hidden) > 0 {
		config.Log.Warn("the server has these paths itself, so what is there in --files cannot be reached", "paths", strings.Join(hidden, " "))
	}
	return pages.Close, nil
}
