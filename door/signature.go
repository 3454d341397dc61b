package door

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Credentials are the keys that clients of the management API sign requests
// with.
type Credentials struct{ AccessKey, SecretKey string }

// signatureAge is how much a signature's time may differ from now. "the request
// must reach AWS within five minutes of the time stamp in the request"
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html
const signatureAge = 5 * time.Minute

const signatureAlgorithm = "AWS4-HMAC-SHA256"

// A signature is what a request says about its signature, in its header or its
// query.
type signature struct {
	accessKey string
	scope     string   // date/region/service/aws4_request
	headers   []string // that were signed, in lower case
	value     string   // in hex
	date      string   // 20261121T101530Z
	expires   time.Duration
}

// readSignature returns the request's signature. ok is false if it has none.
func readSignature(r *http.Request) (s signature, ok bool) {
	fields := make(map[string]string)
	if rest, signed := strings.CutPrefix(r.Header.Get("Authorization"), signatureAlgorithm+" "); signed {
		for field := range strings.SplitSeq(rest, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
			fields[name] = value
		}
		s.date, s.expires = r.Header.Get("X-Amz-Date"), signatureAge
	} else {
		query := r.URL.Query()
		if query.Get("X-Amz-Algorithm") != signatureAlgorithm {
			return s, false
		}
		for _, name := range []string{"Credential", "SignedHeaders", "Signature"} {
			fields[name] = query.Get("X-Amz-" + name)
		}
		s.date = query.Get("X-Amz-Date")
		seconds, _ := time.ParseDuration(query.Get("X-Amz-Expires") + "s")
		s.expires = min(max(seconds, 0), 7*24*time.Hour)
	}
	s.accessKey, s.scope, _ = strings.Cut(fields["Credential"], "/")
	s.headers = strings.Split(fields["SignedHeaders"], ";")
	s.value = fields["Signature"]
	return s, true
}

// verify returns nil if a request is signed with the credentials, for the
// service execute-api in any region. Otherwise it returns a refusal that says
// why. It reads the body, at most limit bytes, and gives the request a copy.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html
func (c Credentials) verify(r *http.Request, now time.Time, limit int) *Refusal {
	no := func(refusal Refusal, sentence string) *Refusal {
		refusal = refusal.Saying(sentence)
		return &refusal
	}
	s, ok := readSignature(r)
	if !ok {
		return &Unsigned
	}
	scope := strings.Split(s.scope, "/")
	signedAt, err := time.Parse("20060102T150405Z", s.date)
	switch {
	case err != nil || len(scope) != 4 || s.value == "" || !slices.Contains(s.headers, "host"):
		return no(BadSignature, "Authorization header requires 'Credential', 'Signature' and 'SignedHeaders' with host, and the request 'X-Amz-Date'.")
	case scope[2] != "execute-api" || scope[3] != "aws4_request":
		return no(BadSignature, "Credential should be scoped to correct service: 'execute-api'.")
	case scope[0] != s.date[:8]:
		return no(BadSignature, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP")
	case now.Sub(signedAt) > s.expires || signedAt.Sub(now) > signatureAge:
		return no(BadSignature, "Signature expired: "+s.date+" is too far from "+now.UTC().Format("20060102T150405Z"))
	case subtle.ConstantTimeCompare([]byte(s.accessKey), []byte(c.AccessKey)) != 1:
		return &UnknownKey
	}
	payload, refused := payloadHash(r, limit)
	if refused != nil {
		return refused
	}
	key := c.signingKey(scope)
	var canonical string
	for _, path := range canonicalPaths(r) {
		canonical = canonicalRequest(r, s, path, payload)
		toSign := signatureAlgorithm + "\n" + s.date + "\n" + s.scope + "\n" + hexHash([]byte(canonical))
		if hmac.Equal([]byte(hex.EncodeToString(mac(key, toSign))), []byte(s.value)) {
			return nil
		}
	}
	return no(BadSignature, "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.\n\nThe Canonical String for this request should have been\n'"+canonical+"'\n")
}

func (c Credentials) signingKey(scope []string) []byte {
	key := []byte("AWS4" + c.SecretKey)
	for _, part := range scope {
		key = mac(key, part)
	}
	return key
}

// payloadHash returns the hash of the body as it stands in the canonical
// request.
func payloadHash(r *http.Request, limit int) (string, *Refusal) {
	body, err := io.ReadAll(io.LimitReader(r.Body, int64(limit)+1))
	if err != nil {
		return "", &CutShort
	}
	rest := r.Body
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(body), rest), rest}
	if len(body) > limit {
		return "", &TooLarge
	}
	hash := hexHash(body)
	switch told := r.Header.Get("X-Amz-Content-Sha256"); told {
	case "", hash:
		return hash, nil
	case "UNSIGNED-PAYLOAD":
		return told, nil
	}
	no := BadSignature.Saying("The provided 'x-amz-content-sha256' header does not match what was computed.")
	return "", &no
}

// canonicalPaths returns the forms in which clients sign the path of a request,
// the most likely last. API Gateway encodes each segment of the path as it was
// sent, so %3D becomes %253D. But some clients sign the path as it was sent, or
// decoded and encoded once.
func canonicalPaths(r *http.Request) []string {
	sent := r.URL.EscapedPath()
	once := strings.Split(sent, "/")
	twice := slices.Clone(once)
	for i, segment := range once {
		decoded, err := url.PathUnescape(segment)
		if err != nil {
			decoded = segment
		}
		once[i], twice[i] = awsEscape(decoded), awsEscape(segment)
	}
	return []string{sent, strings.Join(once, "/"), strings.Join(twice, "/")}
}

func canonicalRequest(r *http.Request, s signature, path, payload string) string {
	var b strings.Builder
	b.WriteString(r.Method + "\n" + path + "\n" + canonicalQuery(r.URL.Query()) + "\n")
	for _, name := range s.headers {
		b.WriteString(name + ":" + headerToSign(r, name) + "\n")
	}
	b.WriteString("\n" + strings.Join(s.headers, ";") + "\n" + payload)
	return b.String()
}

func canonicalQuery(query url.Values) string {
	query.Del("X-Amz-Signature")
	pairs := make([]string, 0, len(query))
	for name, values := range query {
		for _, value := range values {
			pairs = append(pairs, awsEscape(name)+"="+awsEscape(value))
		}
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "&")
}

// headerToSign returns a header's values with single spaces. net/http keeps two
// of the headers elsewhere.
func headerToSign(r *http.Request, name string) string {
	switch name {
	case "host":
		return r.Host
	case "content-length":
		return strconv.FormatInt(r.ContentLength, 10)
	}
	values := slices.Clone(r.Header.Values(name))
	for i, v := range values {
		values[i] = strings.Join(strings.Fields(v), " ")
	}
	return strings.Join(values, ",")
}

// awsEscape encodes all but unreserved characters: "A-Z, a-z, 0-9, hyphen,
// underscore, period, and tilde".
func awsEscape(text string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(text) {
		c := text[i]
		if 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("-_.~", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', digits[c>>4], digits[c&15]})
	}
	return b.String()
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func hexHash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
