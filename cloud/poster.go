package cloud

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

const (
	// maxPosts is how many posts are under way at once. With 13 ms for each that is 10,000 a second, what an account may
	// by default. https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
	maxPosts = 128
	// postTimeout is how long a post may take. Posts to clients that vanished have been seen to hang.
	postTimeout = time.Second
	// probeTimeout is how long one may take to a client that hung the last time.
	probeTimeout = 500 * time.Millisecond
	// dialTimeout is how long it may take to connect.
	dialTimeout = 3 * time.Second
)

// A poster posts to connections, through API Gateway's management API.
//
// It speaks HTTP/1.1 itself, on lines of its own: one write and one read for each post. net/http has two goroutines for each
// connection, and passing a post between them cost as much again as TLS. See signature.go for how a post is signed.
type poster struct {
	credentials aws.CredentialsProvider
	region      string
	idle        chan *line // has room for maxPosts
	key         atomic.Pointer[signingKey]
	hanging     hanging
	slow        slow
}

func newPoster(credentials aws.CredentialsProvider, region string) *poster {
	return &poster{
		credentials: aws.NewCredentialsCache(credentials), // asked once per post; they change once in hours
		region:      region,
		idle:        make(chan *line, maxPosts),
		hanging:     hanging{pause: hangingPause},
	}
}

// A body is what is posted, with its hash, which is the same for all who get it.
type body struct {
	data []byte
	hash string
}

func newBody(data []byte) *body {
	sum := sha256.Sum256(data)
	return &body{data, hex.EncodeToString(sum[:])}
}

// post posts to one connection and returns the answer's status. An error is one of the network; os.ErrDeadlineExceeded if there
// was no answer in time. If again is true it was sent twice, because the first answer did not come.
func (p *poster) post(ctx context.Context, timeout time.Duration, to *url.URL, id string, b *body) (status int, again bool, err error) {
	return p.send(ctx, timeout, http.MethodPost, to, id, b)
}

// hangUp closes a connection.
func (p *poster) hangUp(ctx context.Context, to *url.URL, id string) (status int, err error) {
	status, _, err = p.send(ctx, postTimeout, http.MethodDelete, to, id, newBody(nil))
	return status, err
}

func (p *poster) send(ctx context.Context, timeout time.Duration, method string, to *url.URL, id string, b *body) (status int, again bool, err error) {
	credentials, err := p.credentials.Retrieve(ctx)
	if err != nil {
		return 0, false, fmt.Errorf("%w: find credentials: %w", errUnsent, err)
	}
	exchange := func(l *line) (status int, err error) {
		l.out = p.appendRequest(l.out[:0], credentials, method, to, id, b, time.Now())
		if status, err = l.exchange(ctx, timeout); err != nil {
			l.conn.Close()
			return 0, err
		}
		p.keep(l)
		return status, nil
	}
	if l := p.idleLine(to); l != nil {
		if status, err = exchange(l); !errors.Is(err, errStale) {
			return status, false, err
		}
		again = true
	}
	l, err := dial(ctx, to)
	if err != nil {
		return 0, again, fmt.Errorf("%w: %w", errUnsent, err)
	}
	status, err = exchange(l)
	return status, again, err
}

// idleLine returns an idle line to a place, or nil.
func (p *poster) idleLine(to *url.URL) *line {
	for {
		select {
		case l := <-p.idle:
			// By the clock on the wall: the other one may stand still while the function is frozen.
			if l.to == to.Scheme+to.Host && l.isOpen(time.Now().Round(0).Sub(l.used)) {
				return l
			}
			l.conn.Close()
		default:
			return nil
		}
	}
}

// keep puts a line aside for the next post, unless there are enough or the other end has had enough.
func (p *poster) keep(l *line) {
	if !l.closing {
		l.used = time.Now().Round(0)
		select {
		case p.idle <- l:
			return
		default:
		}
	}
	l.conn.Close()
}

// A line is a connection to the management API.
type line struct {
	to      string
	conn    net.Conn
	raw     syscall.RawConn // of the socket
	in      *bufio.Reader
	out     []byte
	used    time.Time
	closing bool // the other end closes it
}

// maxIdle is how long a line may have been idle. An invocation may find those of one long ago, which nobody answers.
const maxIdle = 20 * time.Second

// isOpen reports whether a line that was idle for so long can be used. If the other end has closed it meanwhile, that is seen
// here: after a post it would be unknown whether the post has arrived.
func (l *line) isOpen(idle time.Duration) bool {
	return idle < time.Millisecond || idle < maxIdle && isQuiet(l.raw)
}

func dial(ctx context.Context, to *url.URL) (*line, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	port := to.Port()
	var dialer interface {
		DialContext(context.Context, string, string) (net.Conn, error)
	} = new(net.Dialer)
	if to.Scheme == "https" {
		dialer = &tls.Dialer{Config: &tls.Config{ServerName: to.Hostname(), NextProtos: []string{"http/1.1"}}}
		port = cmp.Or(port, "443")
	}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(to.Hostname(), cmp.Or(port, "80")))
	if err != nil {
		return nil, err
	}
	socket := conn
	if secure, ok := conn.(*tls.Conn); ok {
		socket = secure.NetConn()
	}
	raw, err := socket.(*net.TCPConn).SyscallConn()
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &line{to: to.Scheme + to.Host, conn: conn, raw: raw, in: bufio.NewReaderSize(conn, 1<<10)}, nil
}

// errUnsent says that a post was not sent.
var errUnsent = errors.New("not sent")

// errStale says that a line ended before a byte of an answer came. Whoever answers closes lines that were idle for a while, and
// may do so just when a post is sent: then it has not seen it. If the answer was lost, it has, and the client gets it twice.
var errStale = errors.New("the connection ended without an answer")

// exchange sends the request in l.out and returns the answer's status.
func (l *line) exchange(ctx context.Context, timeout time.Duration) (status int, err error) {
	deadline := time.Now().Add(timeout)
	if earlier, ok := ctx.Deadline(); ok && earlier.Before(deadline) {
		deadline = earlier
	}
	l.conn.SetDeadline(deadline)
	_, err = l.conn.Write(l.out)
	if err == nil {
		_, err = l.in.Peek(1)
	}
	if err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return 0, err
		}
		return 0, fmt.Errorf("%w: %w", errStale, err)
	}
	response, err := http.ReadResponse(l.in, nil)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	n, err := io.Copy(io.Discard, io.LimitReader(response.Body, maxRefusal))
	l.closing = response.Close || n == maxRefusal || err != nil // the status is what was asked for
	return response.StatusCode, nil
}

// maxRefusal is how much of an answer's body is read. Nothing in it is needed.
const maxRefusal = 64 << 10
