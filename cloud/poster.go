package cloud

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const (
	// maxPosts is how many posts are under way at once. With 10 ms for each that is 6,400 a second, somewhat less than
	// what an account may by default.
	maxPosts = 64
	// postTimeout is how long a post may take. Posts to clients that vanished have been seen to hang.
	postTimeout = 3 * time.Second
)

// A poster posts to connections, through API Gateway's management API.
type poster struct {
	client      *http.Client
	signer      *v4.Signer
	credentials aws.CredentialsProvider
	region      string
}

func newPoster(credentials aws.CredentialsProvider, region string) *poster {
	return &poster{
		client: &http.Client{Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: postTimeout}).DialContext,
			MaxIdleConnsPerHost: maxPosts,
			MaxConnsPerHost:     maxPosts,
			IdleConnTimeout:     50 * time.Second,
			// HTTP/1.1: sixty-four connections were measured to be faster than one of HTTP/2.
		}},
		signer: v4.NewSigner(),
		// Asked once per post; they change once in hours.
		credentials: aws.NewCredentialsCache(credentials),
		region:      region,
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

// post posts to one connection and returns the answer's status. An error is one of the network.
func (p *poster) post(ctx context.Context, endpoint, id string, b *body) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, postTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint+"/@connections/"+url.PathEscape(id), bytes.NewReader(b.data))
	if err != nil {
		return 0, err
	}
	if err := p.sign(ctx, r, b.hash, time.Now()); err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/octet-stream")
	response, err := p.client.Do(r)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10)) // so that the connection can be used again
	return response.StatusCode, nil
}

// sign signs what identifies a request: its host, path, time and body. That is what the JavaScript SDK signs.
func (p *poster) sign(ctx context.Context, r *http.Request, hash string, now time.Time) error {
	credentials, err := p.credentials.Retrieve(ctx)
	if err != nil {
		return fmt.Errorf("find credentials: %w", err)
	}
	r.Header.Set("X-Amz-Content-Sha256", hash)
	length := r.ContentLength
	r.ContentLength = 0 // the signer would sign it
	defer func() { r.ContentLength = length }()
	return p.signer.SignHTTP(ctx, credentials, r, hash, "execute-api", p.region, now)
}
