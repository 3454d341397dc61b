package cloud

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// A post is signed with Signature Version 4. What all posts of a day have in common is computed once, and the hash of a body
// once for all who get it; the SDK's signer does it for each, and builds a request that is not needed here. A test compares
// signatures with the JavaScript SDK's.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html

const algorithm = "AWS4-HMAC-SHA256"

// A signingKey is what signs on one day.
type signingKey struct {
	secret, day string
	key         []byte
}

// keyOf returns the key for a day. If it is asked for at the same time by many it may be made more than once.
func (p *poster) keyOf(secret, day string) []byte {
	if k := p.key.Load(); k != nil && k.secret == secret && k.day == day {
		return k.key
	}
	key := []byte("AWS4" + secret)
	for _, part := range []string{day, p.region, "execute-api", "aws4_request"} {
		key = mac(key, part)
	}
	p.key.Store(&signingKey{secret, day, key})
	return key
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// appendRequest appends a signed request about a connection to the management
// API at a place.
func (p *poster) appendRequest(dst []byte, c aws.Credentials, method string, to *url.URL, id string, b *body, now time.Time) []byte {
	date := now.UTC().Format("20060102T150405Z")
	path := to.EscapedPath() + "/@connections/" + escape(id)
	dst = append(dst, method+" "+path+" HTTP/1.1\r\nHost: "+to.Host+"\r\nX-Amz-Date: "+date+"\r\nX-Amz-Content-Sha256: "+b.hash+"\r\n"...)
	if c.SessionToken != "" {
		dst = append(dst, "X-Amz-Security-Token: "+c.SessionToken+"\r\n"...)
	}
	dst = append(dst, "Authorization: "+p.authorization(c, method, to.Host, path, b.hash, date)+"\r\n"...)
	dst = append(dst, "Content-Type: application/octet-stream\r\nContent-Length: "...)
	dst = append(strconv.AppendInt(dst, int64(len(b.data)), 10), "\r\n\r\n"...)
	return append(dst, b.data...)
}

// authorization returns the header that signs a request: its method, host, path, time and body, as the JavaScript SDK does.
func (p *poster) authorization(c aws.Credentials, method, host, path, hash, date string) string {
	headers, values := "host;x-amz-content-sha256;x-amz-date", "host:"+host+"\nx-amz-content-sha256:"+hash+"\nx-amz-date:"+date+"\n"
	if c.SessionToken != "" {
		headers += ";x-amz-security-token"
		values += "x-amz-security-token:" + c.SessionToken + "\n"
	}
	canonical := sha256.Sum256([]byte(method + "\n" + escapePath(path) + "\n\n" + values + "\n" + headers + "\n" + hash))
	scope := date[:8] + "/" + p.region + "/execute-api/aws4_request"
	signature := mac(p.keyOf(c.SecretAccessKey, date[:8]), algorithm+"\n"+date+"\n"+scope+"\n"+hex.EncodeToString(canonical[:]))
	return algorithm + " Credential=" + c.AccessKeyID + "/" + scope + ", SignedHeaders=" + headers + ", Signature=" + hex.EncodeToString(signature)
}

// escape writes an id for a path as SDKs do: all but letters, digits and -_.~ is encoded, the = at its end, too.
func escape(id string) string { return strings.ReplaceAll(url.QueryEscape(id), "+", "%20") }

// escapePath encodes each segment of a path as it is sent, so that what is encoded is encoded again.
func escapePath(path string) string {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		segments[i] = escape(s)
	}
	return strings.Join(segments, "/")
}
