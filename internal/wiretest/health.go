package wiretest

import "testing"

// testHealth: the paths for who runs the server.
func testHealth(t *testing.T, s server) {
	for _, path := range []string{"/healthz", "/readyz"} {
		a := s.ask(t, "GET "+path)
		a.wants(t, path, 200, "ok\n")
		if a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s may be cached", path)
		}
	}
	before := s.metrics(t)
	room := "/?topic=" + unique("metrics")
	ann, bob := s.dial(t, room), s.dial(t, room)
	ann.say("hello")
	ann.hears("a message in", mine("hello"))
	bob.hears("and two out", others("hello"))
	eventually(t, "what happens is counted", func() bool {
		after := s.metrics(t)
		grew := func(name string, by float64) bool { return after[name]-before[name] >= by }
		return grew("crier_messages_received_total", 1) && grew("crier_deliveries_total", 2) &&
			grew("crier_received_bytes_total", 11) && grew("crier_sent_bytes_total", 100) &&
			after["crier_topics"] >= 1 && after[`crier_connections{app="broadcast"}`] >= 2
	})
	s.get(t, s.request("/nowhere"))
	bob.bye()
	eventually(t, "ends and refusals are counted by reason", func() bool {
		after := s.metrics(t)
		return after[`crier_closes_total{reason="client"}`] > before[`crier_closes_total{reason="client"}`] &&
			after[`crier_refusals_total{reason="not-found"}`] > before[`crier_refusals_total{reason="not-found"}`]
	})
}
