package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/pflag"

	"crier/client"
	"crier/door"
)

// answerTimeout is how long a server may take for a whole answer. One that asks
// other servers, or waits for slow readers, takes some seconds.
const answerTimeout = 30 * time.Second

// A remote is a running server, asked over HTTP.
type remote struct {
	streams
	client *http.Client
	key    string // shown with each request; may be empty
	wanted secret // which key a person is asked for
	flags  string // those that show a key
}

func newRemote(s streams, insecure bool, key string, wanted secret, flags string) *remote {
	transport := &http.Transport{
		Proxy:           http.ProxyFromEnvironment,
		DialContext:     (&net.Dialer{Timeout: connectTimeout}).DialContext,
		TLSClientConfig: encryption(insecure),
	}
	return &remote{
		streams: s, key: key, wanted: wanted, flags: flags,
		client: &http.Client{Transport: transport, Timeout: answerTimeout, CheckRedirect: followReads},
	}
}

// followReads follows redirects of requests that only read. A POST would become
// a GET on the way, and that an empty success.
func followReads(_ *http.Request, via []*http.Request) error {
	if via[0].Method != http.MethodGet || len(via) > 3 {
		return http.ErrUseLastResponse
	}
	return nil
}

// do sends a request. It returns the answer of a server that does what it was
// asked, and otherwise why not. If the server wants a key and was shown none, a
// person at a terminal is asked for it.
func (r *remote) do(ctx context.Context, method string, target *url.URL, body []byte) (*http.Response, error) {
	answer, wantsKey, err := r.try(ctx, method, target, body)
	if !wantsKey || r.key != "" || !r.interactive() {
		return answer, err
	}
	if r.key, err = r.wanted.ask(ctx, r.streams, target.Host); err != nil {
		return nil, err
	}
	answer, _, err = r.try(ctx, method, target, body)
	return answer, err
}

// try sends a request once. wantsKey says that the server has keys, and got none
// of them.
func (r *remote) try(ctx context.Context, method string, target *url.URL, body []byte,
) (answer *http.Response, wantsKey bool, err error) {
	answer, err = r.send(ctx, method, target, body, r.key)
	if err != nil || answer.StatusCode/100 == 2 {
		return answer, false, err
	}
	defer answer.Body.Close()
	why, _ := io.ReadAll(io.LimitReader(answer.Body, 1024))
	flags := keyFlags(answer.Request.Header, r.flags)
	if answer.StatusCode == http.StatusUnauthorized {
		if wantsKey = answer.Header.Get("X-Amzn-Errortype") == door.Unauthorized.Type; !wantsKey {
			flags = "" // no key would help
		}
	}
	return nil, wantsKey, refusal(target, &client.Refused{Status: answer.StatusCode, Body: why}, flags)
}

// send sends a request and returns the answer, whatever it is.
func (r *remote) send(ctx context.Context, method string, target *url.URL, body []byte, key string,
) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, target.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	bearer(req.Header, key)
	answer, err := r.client.Do(req)
	if err != nil {
		return nil, unreachable(target, err)
	}
	return answer, nil
}

// noCrier says that an answer is not one of crier's.
func noCrier(address *url.URL) error {
	return fmt.Errorf("%s answers, but not as crier does: is it the right address?", address.Host)
}

// insecureFlag adds the flag for servers whose certificate nobody vouches for.
func insecureFlag(f *pflag.FlagSet, insecure *bool) {
	f.BoolVar(insecure, "insecure", false, "with wss or https, accept any certificate: anybody in between can read and change everything")
}

// encryption returns how to use TLS; nil is how everybody does.
func encryption(insecure bool) *tls.Config {
	if !insecure {
		return nil
	}
	return &tls.Config{InsecureSkipVerify: true}
}
