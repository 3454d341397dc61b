// Package wiretest is one conformance suite for every home of crier. It takes a URL and nothing else:
//
//	func TestHome(t *testing.T) { wiretest.Run(t, "ws://localhost:8080") }
//
// This package's own tests run it against a crier serve that they start, or against any server, at length if you like:
//
//	go test ./internal/wiretest -url ws://localhost:8080 -run Serve -load 60s
//
// # What it tests
//
// What an outsider can see, over real sockets: what the apps answer, that what others recorded of the services they come
// from still holds, topics and order, frames, what is refused and how, the management API, ten thousand streams of
// nonsense, and a load. The table in this file lists it all.
//
// The app live has transcripts of its own (live_script.go, testdata/live), and a model (live_world.go). In the random test
// (live_property.go) clients act at the same time, so nobody knows the order of what they did. The test searches for one
// in which the model sends exactly what each of them received (live_explain.go), and fails if there is none.
//
// # Whose clients
//
// The ordinary clients are another implementation's (github.com/coder/websocket). Where a test sends what no well-kept
// client would, or has to see each frame, the bytes are written and read by hand. Nothing here is built on crier's own
// packages: a fault cannot stand on both sides of the wire and cancel itself out.
//
// # Other people on the server
//
// Topics get names that nobody else uses, and where everyone hears everyone, strangers' messages are passed over. So a
// server may have other users meanwhile. Only the tests that count all of its connections mind them.
//
// # Homes
//
// RunEverywhere runs what holds on AWS, too. What does not, and why: order, for API Gateway hands messages to functions side by
// side; binary messages, which it does not take; refusals, whose text it writes itself; and lists of topics and members.
//
// # What it does not do
//
// It starts no server, and knows no flag of one: it expects the documented defaults.
package wiretest

import (
	"crypto/rand"
	"crypto/tls"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"
)

// patience is how long a test waits for what must happen; it matters only when it does not.
const patience = 10 * time.Second

// A home says where something holds.
type home bool

const (
	serve home = false // crier serve
	every home = true  // on AWS, too
)

// tests is the whole suite, in the order in which it runs.
var tests = []struct {
	name string
	run  func(*testing.T, server)
	home home
}{
	// recordings.go: what others recorded.
	{"RecordedBroadcast", testRecordedBroadcast, every},
	{"RecordedLifecycle", testRecordedLifecycle, every},
	{"RecordedRooms", testRecordedRooms, every},
	{"RecordedDirectory", testRecordedDirectory, every},

	// apps.go: each app's own rules.
	{"Stamps", testStamps, every},
	{"Bridge", testBridge, every},
	{"Chat", testChat, every},
	{"RoomsKeepSubscriptionsApart", testRoomsKeepSubscriptionsApart, every},
	{"RoomsUsers", testRoomsUsers, serve},

	// topics.go: who hears what, and in which order.
	{"Topics", testTopics, every},
	{"Everyone", testEveryone, every},
	{"EchoOff", testEchoOff, serve},
	{"AppsAreApart", testAppsAreApart, every},
	{"OnceThoughInTwoTopics", testOnceThoughInTwoTopics, every},
	{"OneOrder", testOneOrder, serve},
	{"SlowButInTime", testSlowButInTime, every},

	// frames.go: the protocol, used well.
	{"Binary", testBinary, serve},
	{"Fragments", testFragments, serve},
	{"Pings", testPings, every},
	{"PingsThatNobodyReads", testPingsThatNobodyReads, every},
	{"ClosingHandshake", testClosingHandshake, every},
	{"NothingCountsAfterClose", testNothingCountsAfterClose, every},

	// limits.go: how much is too much.
	{"MaxMessage", testMaxMessage, serve},
	{"MaxHeader", testMaxHeader, serve},
	{"MaxTopics", testMaxTopics, serve},
	{"MaxReach", testMaxReach, serve},

	// badinput.go and nonsense.go: the protocol, broken.
	{"BadInput", testBadInput, every},
	{"BadInputThenGone", testBadInputThenGone, every},
	{"BadInputReachesNobody", testBadInputReachesNobody, serve},
	{"CutShort", testCutShort, serve},
	{"Vanished", testVanished, every},
	{"Nonsense", testNonsense, serve},

	// handshake.go and refusals.go: who gets in.
	{"Handshake", testHandshake, serve},
	{"EarlyFrames", testEarlyFrames, serve},
	{"Refusals", testRefusals, serve},
	{"Misspelt", testMisspelt, every},
	{"Lost", testLost, serve},
	{"Origins", testOrigins, serve},
	{"Rebinding", testRebinding, serve},
	{"NotHTTP", testNotHTTP, every},
	{"KeepAliveAfterRefusal", testKeepAliveAfterRefusal, every},

	// framing.go: where a request ends.
	{"TwoLengths", testTwoLengths, serve},
	{"TwoLengthsLater", testTwoLengthsLater, serve},
	{"ChunkedIsLast", testChunkedIsLast, serve},
	{"UpgradeWithBody", testUpgradeWithBody, serve},

	// management.go, lists.go, console.go, health.go: for programs, and for who runs the server.
	{"Post", testPost, serve},
	{"PostToOneWhoDoesNotRead", testPostToOneWhoDoesNotRead, every},
	{"Info", testInfo, serve},
	{"Delete", testDelete, every},
	{"DeleteOneWhoDoesNotRead", testDeleteOneWhoDoesNotRead, every},
	{"WrongIDs", testWrongIDs, serve},
	{"WhoMayManage", testWhoMayManage, serve},
	{"ProxiesDoNotManage", testProxiesDoNotManage, serve},
	{"Publish", testPublish, serve},
	{"ListConnections", testListConnections, serve},
	{"ListTopics", testListTopics, serve},
	{"DeleteTopic", testDeleteTopic, serve},
	{"LimitedLists", testLimitedLists, serve},
	{"Stats", testStats, serve},
	{"Health", testHealth, serve},

	// console.go: for people, and for pages of their own.
	{"Page", testPage, serve},

	// load.go: many at once.
	{"Load", testLoad, serve},
}

// RunEverywhere tests a server at a URL as far as it must be like all homes of crier.
func RunEverywhere(t *testing.T, url string) {
	for _, test := range tests {
		if test.home == every {
			t.Run(test.name, func(t *testing.T) { test.run(t, server(url)) })
		}
	}
}

// Run tests the server at a URL such as ws://localhost:8080.
func Run(t *testing.T, url string) {
	s := server(strings.TrimSuffix(url, "/"))
	before := s.metrics(t)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(t, s) })
	}
	t.Run("NothingIsLeft", func(t *testing.T) { s.settles(t, before) })
	// The app live is meant to remember, so it comes last: live_script.go, live_property.go.
	t.Run("Live", func(t *testing.T) { testLive(t, s) })
	t.Run("LiveProperty", func(t *testing.T) { testLiveProperty(t, s) })
}

// A server is the one under test, known by its address alone, such as ws://localhost:8080.
type server string

// ws returns the WebSocket address of a path.
func (s server) ws(path string) string { return string(s) + path }

// http returns the HTTP address of a path.
func (s server) http(path string) string { return "http" + strings.TrimPrefix(string(s), "ws") + path }

// host returns the server's name and port, and the path that comes before all others, if any.
func (s server) host() (hostport, prefix string) {
	u, err := url.Parse(string(s))
	if err != nil {
		panic(err)
	}
	return u.Host, u.Path
}

// secret reports whether the server uses TLS.
func (s server) secret() bool { return strings.HasPrefix(string(s), "wss:") }

// connect opens a socket, without a handshake.
func (s server) connect() (net.Conn, error) {
	hostport, _ := s.host()
	if !s.secret() {
		return net.DialTimeout("tcp", hostport, patience)
	}
	if _, _, err := net.SplitHostPort(hostport); err != nil {
		hostport += ":443"
	}
	return tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", hostport, nil)
}

// unique returns a name that nobody else uses. It has no capitals, of which the tests' own placeholders are made.
func unique(name string) string { return name + "-" + strings.ToLower(rand.Text()[:10]) }

// eventually waits until something is true that nobody announces.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for deadline := time.Now().Add(patience); !holds(); <-again.C {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}
