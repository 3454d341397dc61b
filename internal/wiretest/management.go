package wiretest

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// nobody is a well-formed connection id that no server gives twice.
const nobody = "AAAAAAAAAAAAAAA="

func testPost(t *testing.T, s server) {
	c := s.dial(t, "/?topic="+unique("post"))
	other := s.dial(t, "/chat")
	other.tag = unique("post")
	id := c.id()
	escaped := strings.Replace(id, "=", "%3D", 1)
	for _, path := range []string{
		"/@connections/" + id, "/@connections/" + escaped, "/%40connections/" + escaped, "/prod/@connections/" + id,
		"/$default/%40connections/" + escaped, "/%24default/@connections/" + id,
	} {
		a := s.ask(t, "POST "+path+"\nby "+path)
		a.wants(t, "POST "+path, 200, "")
		if a.header.Get("X-Amzn-Requestid") == "" {
			t.Errorf("POST %s: no request id", path)
		}
		c.hears("the body as it is", "by "+path)
	}
	for _, body := range []string{`{"a":1}`, "", "é", strings.Repeat("x", maxMessage)} {
		s.ask(t, "POST /@connections/"+id+"\n"+body).wants(t, "POST", 200, "")
		c.hears("the body as it is", body)
	}
	s.ask(t, "POST /@connections/"+id+"\n\xff\xfe").wants(t, "POST", 200, "")
	c.hears("what is not text goes as binary", "binary fffe")

	a := s.ask(t, "POST /@connections/"+id+"\n"+strings.Repeat("x", maxMessage+1))
	a.wants(t, "too large", 413, `{"message":"the message is larger than the limit"}`+"\n")
	a.isError(t, "PayloadTooLargeException")
	c.hearsNothing("what is too large is not sent")
	other.hearsNothing("a post is for one connection")
}

// isError checks the header by which SDKs know an error.
func (a answer) isError(t *testing.T, kind string) {
	t.Helper()
	if got := a.header.Get("X-Amzn-Errortype"); got != kind {
		t.Errorf("x-amzn-ErrorType is %q, want %q", got, kind)
	}
	if a.header.Get("X-Amzn-Requestid") == "" {
		t.Error("no request id")
	}
}

// testPostToOneWhoDoesNotRead: its buffer fills, posts are refused, and what was not refused arrives when it reads.
func testPostToOneWhoDoesNotRead(t *testing.T, s server) {
	c := s.raw(t, "/bridge?topicName="+unique("who"))
	path := "/@connections/" + c.asksWho()
	posted, a := s.postUntilFull(t, path)
	a.wants(t, fmt.Sprintf("after %d posts", posted), 429, `{"message":"the connection's buffer is full"}`+"\n")
	a.isError(t, "LimitExceededException")
	s.ask(t, "GET "+path).is(t, "GET is not refused", 200)
	c.hearsPosts(posted)
	s.ask(t, "POST "+path+"\nagain").wants(t, "once it has read", 200, "")
	c.gets("once it has read", "text:again")
}

// testDeleteOneWhoDoesNotRead: the close frame comes behind all that was posted.
func testDeleteOneWhoDoesNotRead(t *testing.T, s server) {
	c := s.raw(t, "/bridge?topicName="+unique("who"))
	path := "/@connections/" + c.asksWho()
	posted, _ := s.postUntilFull(t, path)
	s.ask(t, "DELETE "+path).wants(t, "DELETE", 204, "")
	s.ask(t, "POST "+path+"\ntoo late").wants(t, "POST after DELETE", 410, "")
	c.hearsPosts(posted)
	c.gets("behind everything", "close 1000 Connection Closed Normally")
}

// asksWho has the bridge tell the client's connection id, in an error frame.
func (c *raw) asksWho() string {
	c.t.Helper()
	c.send(frames("text:who-am-I"))
	f, err := readFrame(c.in)
	parts := errorFrame.FindStringSubmatch(string(f.payload))
	if err != nil || parts == nil {
		c.t.Fatalf("got %v %v, want an error frame", f, err)
	}
	return parts[2]
}

// post is a large message that says its number.
func post(i int) string { return fmt.Sprintf("%0*d", maxMessage, i) }

// postUntilFull posts until a post is refused, and returns how many were not, and how it was.
func (s server) postUntilFull(t *testing.T, path string) (posted int, refused answer) {
	t.Helper()
	for ; posted < 1000; posted++ {
		if refused = s.ask(t, "POST "+path+"\n"+post(posted)); refused.status != 200 {
			break
		}
	}
	return posted, refused
}

func (c *raw) hearsPosts(posted int) {
	c.t.Helper()
	for i := range posted {
		f, err := readFrame(c.in)
		if err != nil || f.String() != "text:"+post(i) {
			c.t.Fatalf("post %d of %d: got …%s %v", i, posted, f.payload[max(0, len(f.payload)-20):], err)
		}
	}
}

const timestamp = `(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)`

// infoForm is API Gateway's answer to GET.
var infoForm = regexp.MustCompile(`^\{"connectedAt":"` + timestamp +
	`","identity":\{"sourceIp":"([^"]+)","userAgent":(null|"[^"]*")\},"lastActiveAt":"` + timestamp + `"\}\n$`)

func testInfo(t *testing.T, s server) {
	c := s.dial(t, "/?topic="+unique("info"))
	path := "/@connections/" + c.id()
	parts := func(a answer) []string {
		t.Helper()
		p := infoForm.FindStringSubmatch(a.body)
		if a.status != 200 || p == nil || a.header.Get("Content-Type") != "application/json" {
			t.Fatalf("GET %s: %d %q", path, a.status, a.body)
		}
		return p
	}
	first := parts(s.ask(t, "GET "+path))
	if first[3] != `"`+c.name+`"` {
		t.Errorf("the user agent is %s, want %s", first[3], c.name)
	}
	if at, err := time.Parse(time.RFC3339, first[1]); err != nil || time.Since(at).Abs() > time.Hour {
		t.Errorf("it connected at %s: %v", first[1], err)
	}
	eventually(t, "a message makes the connection active", func() bool {
		c.say("hello")
		c.hears("it says something", mine("hello"))
		now := parts(s.ask(t, "GET /prod"+path))
		if now[1] != first[1] {
			t.Errorf("it connected at %s, and at %s", first[1], now[1])
		}
		return now[4] > first[4]
	})

	path = "/@connections/" + s.raw(t, "/bridge?topicName="+unique("who")).asksWho()
	if agent := parts(s.ask(t, "GET "+path))[3]; agent != "null" {
		t.Errorf("who has no user agent has %s, want null", agent)
	}
}

func testDelete(t *testing.T, s server) {
	room := unique("delete")
	c, listener := s.dial(t, "/?topic="+room), s.dial(t, "/?topic="+room)
	path := "/@connections/" + c.id()
	s.ask(t, "POST "+path+"\nlast words").wants(t, "POST", 200, "")
	s.ask(t, "DELETE "+path).wants(t, "DELETE", 204, "")
	c.hears("what was posted before", "last words")
	c.isTold(websocket.StatusNormalClosure, "Connection Closed Normally")
	eventually(t, "it is gone", func() bool { return s.ask(t, "GET "+path).status == 410 })
	for _, method := range []string{"POST", "GET", "DELETE"} {
		a := s.ask(t, method+" "+path)
		a.wants(t, method+" after the end", 410, "")
		a.isError(t, "GoneException")
	}
	listener.say("marker")
	listener.hears("the others heard nothing of it", mine("marker"))
	eventually(t, "the listener is alone", func() bool { return len(s.members(t, "broadcast", room)) == 1 })
}

func testWrongIDs(t *testing.T, s server) {
	for _, method := range []string{"GET", "POST", "DELETE"} {
		for _, path := range []string{"/@connections/" + nobody, "/any-stage/%40connections/" + strings.Replace(nobody, "=", "%3D", 1)} {
			a := s.ask(t, method+" "+path+"\nx")
			a.wants(t, method+" "+path, 410, "")
			a.isError(t, "GoneException")
		}
		for _, id := range []string{
			"cjld2cjxh0000qzrmn831i7rn", "6f1ed002-ab5d-4b1e-9f0d-2b6c2b9f5e3a", "AAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAA", "AAAAAAA+AAAAAAA=", "x",
			"AAAAAAAAAAAAAAB=", // bits that stand for nothing
		} {
			a := s.ask(t, method+" /@connections/"+id+"\nx")
			a.wants(t, method+" "+id, 400, `{"message":"Invalid connectionId: `+id+`"}`+"\n")
			a.isError(t, "BadRequestException")
		}
	}
	for path, allow := range map[string]string{
		"PUT /@connections/" + nobody: "DELETE, GET, POST", "POST /@connections": "GET", "GET /publish": "POST",
		"PATCH /topics": "GET", "POST /topics/x": "DELETE, GET", "DELETE /topics/": "GET",
	} {
		a := s.ask(t, path)
		a.wants(t, path, 405, "this path does not know this method\n")
		if got := a.header.Get("Allow"); got != allow {
			t.Errorf("%s: allowed are %q, want %q", path, got, allow)
		}
	}
}

func testPublish(t *testing.T, s server) {
	topic := unique("publish")
	c, bridge := s.dial(t, "/?topic="+topic), s.dial(t, "/bridge?topicName="+topic)
	everyone := s.dial(t, "/")
	everyone.tag = topic
	const ok = `{"ok":true,"heard":1}` + "\n"
	s.ask(t, "POST /publish?topic="+topic+"\nhi").wants(t, "publish", 200, ok)
	c.hears("stamped, and nobody's own", others("hi"))
	s.ask(t, "POST /publish?topicName="+topic+"\n"+`{"n":1.0}`).wants(t, "publish JSON", 200, ok)
	c.hears("JSON", `{"n":1.0,"_now":<NOW>,"_me":false}`)
	s.ask(t, "POST /publish?topic="+topic+"&topic="+topic+"-2\ntwice").wants(t, "publish to two topics", 200, ok)
	c.hears("one of them", others("twice"))
	s.ask(t, "POST /publish?topic="+topic+"\n").wants(t, "publish nothing", 200, ok)
	c.hears("an empty message is one", others(""))
	s.ask(t, "POST /publish?topic="+topic+"\n\xff\x00").wants(t, "publish binary", 200, ok)
	c.hears("what is not text goes as binary", "binary ff00")
	a := s.ask(t, "POST /publish\nto all of "+topic)
	a.is(t, "publish to everyone", 200) // others may be there
	everyone.hears("everyone", others("to all of "+topic))
	s.ask(t, "POST /publish?topic="+unique("nobody")+"\nhi").wants(t, "publish to nobody", 200, `{"ok":true,"heard":0}`+"\n")
	both := s.dial(t, "/?topic="+topic+"&topic="+topic+"-2")
	s.ask(t, "POST /publish?topic="+topic+"&topic="+topic+"-2\nwho hears").wants(t, "publish to two topics", 200, `{"ok":true,"heard":2}`+"\n")
	both.hears("once", others("who hears"))
	c.hears("and in one of them", others("who hears"))

	a = s.ask(t, "POST /publish?topic="+topic+"\n"+strings.Repeat("x", maxMessage+1))
	a.wants(t, "too large", 413, `{"message":"the message is larger than the limit"}`+"\n")
	a = s.ask(t, "POST /publish?topic="+strings.Repeat("x", maxName+1)+"\nhi")
	a.wants(t, "a long name", 400, `{"message":"a topic's name has at most 256 bytes"}`+"\n")
	a = s.ask(t, "POST /publish?topic=%ff\nhi")
	a.wants(t, "a name that is no text", 400, `{"message":"a topic's name is UTF-8"}`+"\n")
	a = s.ask(t, "POST /publish?"+topics(maxReach+1)+"\nhi")
	a.wants(t, "too many topics", 400, `{"message":"a message goes to at most 64 topics"}`+"\n")
	a.isError(t, "BadRequestException")
	a = s.ask(t, "POST /publish?topc="+topic+"\nmisspelt for "+topic)
	a.wants(t, "a misspelt parameter", 400, `{"message":"there is no parameter topc; did you mean topic?"}`+"\n")
	a.isError(t, "BadRequestException")
	for _, request := range []string{
		"POST /publish?topic=" + topic + "&room=" + topic + "\nhi", "POST /publish?topic=" + topic + ";x\nhi",
		"GET /topics/%ff", "DELETE /topics/%ff", "GET /topics?app=broadcats", "GET /@connections?app=nope",
		"GET /@connections?topics=a", "GET /@connections/" + nobody + "?x=y", "GET /topics?limits=1", "DELETE /topics/" + topic + "?apps=chat", "GET /stats?app=chat",
	} {
		s.ask(t, request).is(t, request, 400)
	}
	s.ask(t, "POST /publish?topic="+topic+"&topicName="+topic+"&echo=0\nhi").wants(t, "all parameters of broadcast", 200, `{"ok":true,"heard":2}`+"\n")
	both.hears("what was not refused, too", others("hi"))
	c.hears("what was not refused", others("hi"))
	everyone.hearsNothing("what was misspelt")
	c.say("marker")
	c.hears("nothing that was refused, nothing for everyone", mine("marker"))
	bridge.hearsNothing("another app's topic")
}

// testWhoMayManage: a program on this machine, and nobody who may speak for
// somebody else. The server has no key.
func testWhoMayManage(t *testing.T, s server) {
	topic := unique("manage")
	c := s.dial(t, "/?topic="+topic)
	for header, status := range map[string]int{
		"X-Other: header":                  200,
		"Host: localhost":                  200,
		"Origin: " + s.http(""):            200,
		"Sec-Fetch-Site: same-origin":      200,
		"Authorization: Bearer wrong":      401,
		"Authorization: Bearer":            401,
		"X-Forwarded-For: 192.0.2.1":       401,
		"Forwarded: for=192.0.2.1":         401,
		"Host: game.example.com":           401,
		"Origin: http://localhost:3000":    403,
		"Origin: https://evil.example.com": 403,
		"Origin: null":                     403,
		"Sec-Fetch-Site: cross-site":       403,
	} {
		for _, request := range []string{"POST /publish?topic=" + topic + "\nhi", "GET /topics", "GET /@connections", "DELETE /topics/" + unique("none")} {
			a := s.ask(t, request, header)
			a.is(t, request+" with "+header, status)
			if a.status == 200 && request[0] == 'P' {
				c.hears("published", others("hi"))
			}
			if status != 200 {
				checkNoSecrets(t, a)
			}
		}
	}
	c.say("marker")
	c.hears("nothing that was refused", mine("marker"))
}

// testProxiesDoNotManage: who comes through a proxy on this machine is somebody
// else, whatever the proxy writes, and wherever, for the client has a say in
// that, too.
func testProxiesDoNotManage(t *testing.T, s server) {
	hostport, _ := s.host()
	for _, lines := range []string{
		"X-Forwarded-For:", "X-Forwarded-For:\r\nX-Forwarded-For: 203.0.113.7", "x-forwarded-for: 127.0.0.1", "X_Forwarded_For: 203.0.113.7",
		"X-Forwarded-Proto: http", "X-Forwarded-Host:\t", "X-Forwarded: 1", "Forwarded:", "Via:", "Via:\r\nVia: 1.1 proxy", "x-real-ip:",
		"X-REAL-IP: 127.0.0.1", "X-Client-IP:", "CF-Connecting-IP: 203.0.113.7", "cf_connecting_ip:", "True-Client-IP:", "X-Original-Forwarded-For: 1",
	} {
		for _, request := range []string{"GET /stats", "GET /@connections", "GET /topics", "DELETE /topics/" + unique("none")} {
			a := s.get(t, request+" HTTP/1.1\r\nHost: "+hostport+"\r\n"+lines+"\r\n\r\n")
			a.is(t, fmt.Sprintf("%s with %q", request, lines), 401)
			checkNoSecrets(t, a)
		}
	}
	s.get(t, "GET /stats HTTP/1.0\r\nHost: "+hostport+"\r\n\r\n").is(t, "HTTP/1.0, as of a proxy", 401)
	s.get(t, "GET /stats HTTP/1.1\r\nHost: "+hostport+"\r\n\r\n").is(t, "a program", 200)
}

// checkNoSecrets: a refusal has the form of API Gateway's and tells nothing of the inside.
func checkNoSecrets(t *testing.T, a answer) {
	t.Helper()
	var message struct{ Message string }
	if err := json.Unmarshal([]byte(a.body), &message); err != nil || message.Message == "" {
		t.Errorf("the answer is %q", a.body)
	}
	if strings.Contains(a.body, ".go") || strings.Contains(a.body, "goroutine") || strings.Contains(a.body, "\n\t") {
		t.Errorf("a stack trace: %s", a.body)
	}
	if challenge := a.header.Get("WWW-Authenticate"); (a.status == 401) != strings.HasPrefix(challenge, "Bearer") {
		t.Errorf("with %d, WWW-Authenticate is %q", a.status, challenge)
	}
}
