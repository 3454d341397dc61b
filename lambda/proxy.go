package lambda

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Proxy leads executables, which cannot be led from inside, to crier: it is
// the HTTPS proxy that their environment names. Connections to an API's alias
// lead to crier. All others lead, untouched, to where they were going, because
// a function may need other services, and an environment can name the hosts
// that need no proxy, but not the only ones that need it.
//
// It listens on loopback, and a request needs its password, which only the
// environment of executables has.
type Proxy struct {
	aliases  []string
	to       string
	dynamoDB string
	password string
	log      *slog.Logger
	listener net.Listener
	server   http.Server
	serving  sync.WaitGroup
	stop     context.CancelFunc // ends all tunnels
	room     chan struct{}      // has an element for each tunnel
	drained  sync.Once
	warned   sync.Once // of requests for DynamoDB at AWS
}

const (
	// maxTunnels is how many tunnels there are at once: each has two sockets.
	maxTunnels = 1000
	// reach is how long a host may take to be reached.
	reach = 30 * time.Second
)

// NewProxy opens a proxy on a port of this machine. Port 443 of each alias is
// at the address to. dynamoDB is the functions' AWS_ENDPOINT_URL_DYNAMODB, or
// empty.
func NewProxy(aliases []string, to, dynamoDB string, log *slog.Logger) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open the proxy for executables: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	p := &Proxy{
		aliases:  aliases,
		to:       to,
		dynamoDB: dynamoDB,
		password: rand.Text(),
		log:      log,
		listener: l,
		stop:     stop,
		room:     make(chan struct{}, maxTunnels),
	}
	p.server = http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(ctx, w, r) }),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	p.serving.Go(func() { p.server.Serve(l) }) // until Close
	return p, nil
}

// URL returns where the proxy is, with its password.
func (p *Proxy) URL() string {
	return (&url.URL{Scheme: "http", User: url.UserPassword("crier", p.password), Host: p.listener.Addr().String()}).String()
}

// Close ends the proxy and all tunnels, and waits for them.
func (p *Proxy) Close() {
	p.server.Close()
	p.stop()
	p.serving.Wait()
	p.drained.Do(func() {
		for range maxTunnels {
			p.room <- struct{}{} // there is room when a tunnel has ended
		}
	})
}

// serve answers a request. ctx is the proxy's: that of r ends when the client
// has sent everything, and may still wait for answers.
func (p *Proxy) serve(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	switch {
	case !p.knows(r):
		w.Header().Set("Proxy-Authenticate", `Basic realm="crier"`)
		http.Error(w, "HTTPS_PROXY, in the environment of crier's functions, has the password of this proxy", http.StatusProxyAuthRequired)
		return
	case r.Method != http.MethodConnect:
		http.Error(w, "this proxy is for https only", http.StatusMethodNotAllowed)
		return
	}
	select {
	case p.room <- struct{}{}:
		defer func() { <-p.room }()
	default:
		http.Error(w, fmt.Sprintf("%d connections are open: there is no room for another", maxTunnels), http.StatusServiceUnavailable)
		return
	}
	there, err := p.dial(ctx, r.Host)
	if err != nil {
		p.log.Debug("a function cannot reach a host", "cause", err)
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer there.Close()
	tunnel(ctx, w, there)
}

// knows reports whether a request has the password.
func (p *Proxy) knows(r *http.Request) bool {
	auth := http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}
	_, password, _ := auth.BasicAuth()
	return subtle.ConstantTimeCompare([]byte(password), []byte(p.password)) == 1
}

// dial connects to where a tunnel leads.
func (p *Proxy) dial(ctx context.Context, asked string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(asked)
	if err != nil {
		return nil, err
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	dialer := net.Dialer{Timeout: reach}
	switch {
	case dynamoDBName.MatchString(host) && p.hasDynamoDB():
		err := fmt.Errorf("%s is not where %s leads, %s: aws-sdk-go v1 does not read that, and needs Endpoint: aws.String(os.Getenv(%[2]q))", host, dynamoDBVariable, p.dynamoDB)
		p.warned.Do(func() { p.log.Warn("a function asks AWS for DynamoDB", "cause", err) }) // SDKs try again
		return nil, err
	case !p.related(host):
		return dialer.DialContext(ctx, "tcp", asked)
	case slices.Contains(p.aliases, host) && port == "443" && p.to != "":
		return dialer.DialContext(ctx, "tcp", p.to)
	}
	err = fmt.Errorf("%s is not there: the function's API is %s, port 443 (AWS_REGION, which crier.yaml can set)", asked, strings.Join(p.aliases, " or "))
	p.log.Warn("a function asks for another API than its own", "cause", err)
	return nil, err
}

// dynamoDBVariable tells SDKs where DynamoDB is, and dynamoDBName matches where
// it is for those that it does not tell.
// https://docs.aws.amazon.com/general/latest/gr/ddb.html
const dynamoDBVariable = "AWS_ENDPOINT_URL_DYNAMODB"

var dynamoDBName = regexp.MustCompile(`^dynamodb(-fips)?\.[a-z0-9-]+\.amazonaws\.com(\.cn)?$`)

// hasDynamoDB reports whether the functions have a DynamoDB that is not AWS's.
func (p *Proxy) hasDynamoDB() bool {
	u, err := url.Parse(p.dynamoDB)
	return err == nil && u.Host != "" && !strings.HasSuffix(u.Hostname(), ".amazonaws.com") && !strings.HasSuffix(u.Hostname(), ".amazonaws.com.cn")
}

// related reports whether a name is this API's in some region.
func (p *Proxy) related(host string) bool {
	return slices.ContainsFunc(p.aliases, func(alias string) bool { return strings.HasPrefix(host, family(alias)) })
}

// tunnel passes on what each end sends, until both have sent everything or ctx
// ends.
func tunnel(ctx context.Context, w http.ResponseWriter, there net.Conn) {
	here, rw, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer here.Close()
	here.SetDeadline(time.Time{})
	closeBoth := func() { here.Close(); there.Close() }
	defer context.AfterFunc(ctx, closeBoth)()
	if _, err := io.WriteString(here, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	pass := func(to net.Conn, from io.Reader) {
		if _, err := io.Copy(to, from); err != nil {
			closeBoth()
		} else if tcp, ok := to.(*net.TCPConn); ok {
			tcp.CloseWrite()
		}
	}
	var both sync.WaitGroup
	both.Go(func() { pass(here, there) })
	both.Go(func() { pass(there, rw) }) // which has what the client sent early
	both.Wait()
}
