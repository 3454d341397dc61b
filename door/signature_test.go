package door

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

var (
	signedAt = time.Date(2026, 11, 21, 10, 15, 30, 0, time.UTC)
	keys     = Credentials{AccessKey: "AKIDEXAMPLE", SecretKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
)

// signed returns a request as a server gets it, signed by the AWS SDK for Go.
func signed(t *testing.T, method, url, body string, change func(*http.Request, *v4.SignerOptions)) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	credentials := aws.Credentials{AccessKeyID: keys.AccessKey, SecretAccessKey: keys.SecretKey}
	err = v4.NewSigner().SignHTTP(context.Background(), credentials, r, hexHash([]byte(body)), "execute-api", "eu-west-1", signedAt, func(o *v4.SignerOptions) {
		if change != nil {
			change(r, o)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return received(r, body)
}

// received returns a request as a server gets it.
func received(r *http.Request, body string) *http.Request {
	got := httptest.NewRequest(r.Method, r.URL.String(), strings.NewReader(body))
	got.Header = r.Header.Clone()
	got.Host = r.URL.Host
	return got
}

// TestSignatures: what the AWS SDK for Go signs is accepted, whatever the id and the body.
func TestSignatures(t *testing.T) {
	for _, method := range []string{"POST", "GET", "DELETE"} {
		for _, path := range []string{
			"/dev/@connections/" + anID, "/dev/%40connections/JC1dgf9yoAMCK-g%3D", "/dev/@connections/a+b%2Fc%3D%3D", "/dev/@connections/%7Ea.b_c-d",
			"/%24default/@connections/x", "/dev/@connections/x?b=2&a=1&a=%2F+x&empty=", "/dev/@connections/%C3%BC",
		} {
			for _, body := range []string{"", "hello", "ü\x00\xff", strings.Repeat("x", 128<<10)} {
				r := signed(t, method, "https://localhost:8080"+path, body, nil)
				if no := keys.verify(r, signedAt.Add(4*time.Minute), 128<<10); no != nil {
					t.Errorf("%s %s with %d bytes: %s", method, path, len(body), no.Say)
				}
				if got, err := io.ReadAll(r.Body); string(got) != body || err != nil {
					t.Errorf("%s %s: the body is %.20q afterwards, want %.20q", method, path, got, body)
				}
			}
		}
	}
}

// TestSignatureForms: clients differ in how they encode the path, and in what they sign.
func TestSignatureForms(t *testing.T) {
	const url = "https://localhost:8080/dev/@connections/JC1dgf9yoAMCK-g%3D"
	for name, change := range map[string]func(*http.Request, *v4.SignerOptions){
		"path as it is sent": func(_ *http.Request, o *v4.SignerOptions) { o.DisableURIPathEscaping = true },
		"session token":      func(r *http.Request, _ *v4.SignerOptions) { r.Header.Set("X-Amz-Security-Token", "token") },
		"hash of the body": func(r *http.Request, _ *v4.SignerOptions) {
			r.Header.Set("X-Amz-Content-Sha256", hexHash([]byte("hello")))
		},
		"more headers": func(r *http.Request, _ *v4.SignerOptions) { r.Header["X-Amz-Meta"] = []string{"  a   b ", "c"} },
	} {
		if no := keys.verify(signed(t, "POST", url, "hello", change), signedAt, 100); no != nil {
			t.Errorf("%s: %s", name, no.Say)
		}
	}
}

// TestPresigned: the signature may stand in the query.
func TestPresigned(t *testing.T) {
	r, _ := http.NewRequest("GET", "https://localhost:8080/dev/@connections/x%3D?X-Amz-Expires=60", nil)
	credentials := aws.Credentials{AccessKeyID: keys.AccessKey, SecretAccessKey: keys.SecretKey}
	url, header, err := v4.NewSigner().PresignHTTP(context.Background(), credentials, r, hexHash(nil), "execute-api", "us-east-1", signedAt)
	if err != nil {
		t.Fatal(err)
	}
	get := func(url string) *http.Request {
		r, _ := http.NewRequest("GET", url, nil)
		r.Header = header.Clone()
		return received(r, "")
	}
	if no := keys.verify(get(url), signedAt.Add(time.Minute), 100); no != nil {
		t.Error(no.Say)
	}
	if no := keys.verify(get(url), signedAt.Add(61*time.Second), 100); no == nil || !strings.Contains(no.Say, "Signature expired") {
		t.Errorf("too late: %+v", no)
	}
	if no := keys.verify(get(url+"&more=1"), signedAt, 100); no == nil {
		t.Error("another query is accepted")
	}
}

// TestWrongSignatures: whatever is changed after signing, or signed wrongly, is refused, and the client is told why.
func TestWrongSignatures(t *testing.T) {
	const url = "https://localhost:8080/dev/@connections/JC1dgf9yoAMCK-g%3D"
	for _, test := range []struct {
		name   string
		change func(*http.Request) *http.Request
		want   string // name of the refusal
		say    string
	}{
		{"unsigned", func(r *http.Request) *http.Request { r.Header.Del("Authorization"); return r }, "unsigned", "Missing Authentication Token"},
		{"bearer", func(r *http.Request) *http.Request { r.Header.Set("Authorization", "Bearer x"); return r }, "unsigned", ""},
		{"another body", func(r *http.Request) *http.Request { return received(r, "hallo") }, "bad-signature", "does not match"},
		{"another method", func(r *http.Request) *http.Request { r.Method = "DELETE"; return r }, "bad-signature", "'DELETE\n/dev/%40connections/JC1dgf9yoAMCK-g%253D\n"},
		{"another path", func(r *http.Request) *http.Request {
			r.URL.Path = "/dev/@connections/OxxXBfG1oAMActQ="
			r.URL.RawPath = ""
			return r
		}, "bad-signature", ""},
		{"another query", func(r *http.Request) *http.Request { r.URL.RawQuery = "a=1"; return r }, "bad-signature", ""},
		{"another host", func(r *http.Request) *http.Request { r.Host = "example.com"; return r }, "bad-signature", ""},
		{"another time", func(r *http.Request) *http.Request { r.Header.Set("X-Amz-Date", "20261121T101531Z"); return r }, "bad-signature", ""},
		{"another day", func(r *http.Request) *http.Request { r.Header.Set("X-Amz-Date", "20261122T101530Z"); return r }, "bad-signature", ""},
		{"no time", func(r *http.Request) *http.Request { r.Header.Del("X-Amz-Date"); return r }, "bad-signature", "X-Amz-Date"},
		{"another key", replaced("AKIDEXAMPLE", "AKIDOTHER"), "unknown-key", "The security token included in the request is invalid."},
		{"another service", replaced("execute-api", "s3"), "bad-signature", "'execute-api'"},
		{"another region", replaced("eu-west-1", "eu-west-2"), "bad-signature", ""},
		{"without the host", replaced("host;", ""), "bad-signature", "SignedHeaders"},
		{"no signature", replaced("Signature=", "Other="), "bad-signature", "Signature"},
		{"short scope", replaced("/aws4_request", ""), "bad-signature", ""},
		{"nothing", func(r *http.Request) *http.Request { r.Header.Set("Authorization", "AWS4-HMAC-SHA256 "); return r }, "bad-signature", ""},
		{"a wrong hash", func(r *http.Request) *http.Request { r.Header.Set("X-Amz-Content-Sha256", hexHash(nil)); return r }, "bad-signature", "x-amz-content-sha256"},
		{"too large", func(r *http.Request) *http.Request { return received(r, strings.Repeat("x", 101)) }, "payload-too-large", ""},
	} {
		r := test.change(signed(t, "POST", url, "hello", nil))
		no := keys.verify(r, signedAt, 100)
		if no == nil || no.Name != test.want || !strings.Contains(no.Say, test.say) {
			t.Errorf("%s: got %+v, want %s: %q", test.name, no, test.want, test.say)
		}
	}
	for _, now := range []time.Time{signedAt.Add(6 * time.Minute), signedAt.Add(-6 * time.Minute)} {
		if no := keys.verify(signed(t, "POST", url, "hello", nil), now, 100); no == nil || !strings.Contains(no.Say, "Signature expired") {
			t.Errorf("at %v: %+v", now, no)
		}
	}
	other := keys
	other.SecretKey += "x"
	if no := other.verify(signed(t, "POST", url, "hello", nil), signedAt, 100); no == nil || no.Name != "bad-signature" {
		t.Errorf("another secret: %+v", no)
	}
}

func replaced(old, new string) func(*http.Request) *http.Request {
	return func(r *http.Request) *http.Request {
		r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), old, new, 1))
		return r
	}
}

// TestManagementWithKeys: who gets in when there are keys, and when requests must be signed.
func TestManagementWithKeys(t *testing.T) {
	sign := func(r *http.Request, secret string) {
		credentials := aws.Credentials{AccessKeyID: keys.AccessKey, SecretAccessKey: secret}
		if err := v4.NewSigner().SignHTTP(context.Background(), credentials, r, hexHash([]byte("hi")), "execute-api", "us-east-1", time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name   string
		peer   string
		signed bool // they must be
		change func(*http.Request)
		want   int
		open   int // without an admin key
	}{
		{"signed from elsewhere", "192.0.2.1:5", false, func(r *http.Request) { sign(r, keys.SecretKey) }, 200, 200},
		{"unsigned from elsewhere", "192.0.2.1:5", false, nil, 401, 401},
		{"unsigned from here", "127.0.0.1:5", false, nil, 401, 200},
		{"wrongly signed from here", "127.0.0.1:5", false, func(r *http.Request) { sign(r, "other") }, 401, 200},
		{"signed from here", "127.0.0.1:5", false, func(r *http.Request) { sign(r, keys.SecretKey) }, 200, 200},
		{"wrongly signed from elsewhere", "192.0.2.1:5", false, func(r *http.Request) { sign(r, "other") }, 401, 401},
		{"must sign, signed", "192.0.2.1:5", true, func(r *http.Request) { sign(r, keys.SecretKey) }, 200, 200},
		{"must sign, unsigned from here", "127.0.0.1:5", true, nil, 403, 403},
		{"must sign, wrongly signed from here", "127.0.0.1:5", true, func(r *http.Request) { sign(r, "other") }, 403, 403},
		{"must sign, has the admin key", "192.0.2.1:5", true, func(r *http.Request) { r.Header.Set("Authorization", "Bearer admin") }, 200, 401},
		{"must sign, has another key", "127.0.0.1:5", true, func(r *http.Request) { r.Header.Set("Authorization", "Bearer other") }, 401, 401},
	} {
		for key, want := range map[string]int{"admin": test.want, "": test.open} {
			h := &home{}
			g := New(Config{
				Mounts: []Mount{{Path: "/dev", Name: "gateway"}}, Sockets: h, Connections: h, Topics: h, MaxMessage: 100, Log: slog.New(slog.DiscardHandler),
				Guard: guard(t, key), Credentials: keys, Signed: test.signed, Stage: "dev",
			})
			for _, stage := range []string{"/dev", ""} {
				h.asked = nil
				r, _ := http.NewRequest("POST", "https://localhost:8080"+stage+"/@connections/"+strings.Replace(anID, "=", "%3D", 1), strings.NewReader("hi"))
				if test.change != nil {
					test.change(r)
				}
				got := received(r, "hi")
				got.RemoteAddr = test.peer
				w := httptest.NewRecorder()
				g.ServeHTTP(w, got)
				if w.Code != want {
					t.Errorf("%s, the admin key is %q: got %d %s, want %d", test.name, key, w.Code, w.Body, want)
				}
				if want == 200 && strings.Join(h.asked, "; ") != "post "+anID+" hi" {
					t.Errorf("%s: asked %q", test.name, h.asked)
				}
			}
		}
	}
}

// TestStage: with a stage there is nothing else, and its name may be left out.
func TestStage(t *testing.T) {
	h := &home{}
	g := New(Config{Mounts: []Mount{{Path: "/dev", Name: "gateway"}}, Sockets: h, Connections: h, Topics: h, MaxMessage: 100, Log: slog.New(slog.DiscardHandler), Stage: "dev"})
	for path, want := range map[string]string{
		"GET /dev/@connections/" + anID: "200", "GET /dev/%40connections/" + anID: "200", "GET /dev/@connections": "200",
		"GET /@connections/" + anID: "200", "GET /%40connections/" + anID: "200", "GET /@connections": "200", "POST /@connections/" + anID: "200",
		"DELETE /@connections/" + anID: "204", "GET /": "426", "GET /@connections/": "400",
		"GET /prod/@connections/" + anID: "403", "POST /prod/@connections/" + anID: "403", "GET /prod": "403", "GET /publish": "403", "GET /topics": "403",
		"GET /dev/x": "426", "GET /dev/x/y": "426", "POST /dev/x": "403", "GET /dev": "426", "GET /dev/": "426", "GET /dev/@connections/": "400",
	} {
		method, path, _ := strings.Cut(path, " ")
		r := httptest.NewRequest(method, "http://localhost:8080"+path, nil)
		r.RemoteAddr = "127.0.0.1:5"
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if got := w.Result().Status[:3]; got != want {
			t.Errorf("%s: got %s %s, want %s", path, got, w.Body, want)
		}
		if want == "403" && w.Body.String() != `{"message":"Forbidden"}`+"\n" {
			t.Errorf("%s: got %s", path, w.Body)
		}
	}
}
