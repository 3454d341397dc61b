package autobahn

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var (
	running = flag.String("url", "", "judge the server there, such as ws://localhost:8080, that runs with --max-message 16777216")
	rewrite = flag.Bool("rewrite", false, "write the tables of docs/autobahn.md anew; read the diff")
)

const (
	resultsFile = "../../docs/autobahn.md"
	marker      = "-rewrite -->\n\n"
)

// TestCases plays every case against crier serve, without TLS and with it, and
// compares what came of it with docs/autobahn.md.
func TestCases(t *testing.T) {
	var results []Result
	for _, c := range cases() {
		results = append(results, Result{Case: c})
	}
	for _, home := range []struct {
		name, scheme string
		start        func(*testing.T) Server
		column       func(*Result) *Verdict
	}{
		{"plain", "ws://", func(t *testing.T) Server { return start(t) }, func(r *Result) *Verdict { return &r.Plain }},
		{"tls", "wss://", startTLS, func(r *Result) *Verdict { return &r.TLS }},
	} {
		t.Run(home.name, func(t *testing.T) {
			s := Server{URL: strings.TrimSuffix(*running, "/")}
			switch {
			case *running == "":
				s = home.start(t)
			case !strings.HasPrefix(*running, home.scheme):
				t.Skipf("-url is not %s", home.scheme)
			}
			runAll(t, results, s, home.column)
		})
	}
	if testing.Verbose() {
		t.Logf("\n%s", Table(results))
	}
	if !t.Failed() {
		checkPublished(t, results)
	}
}

// runAll plays each case in a test of its own and writes the verdicts where
// column says.
func runAll(t *testing.T, results []Result, s Server, column func(*Result) *Verdict) {
	for i := range results {
		r := &results[i]
		t.Run(r.Case.ID, func(t *testing.T) {
			t.Parallel()
			v := Run(r.Case, s)
			*column(r) = v
			if v.Rating == Failed || v.Rating == NonStrict {
				t.Errorf("%s %s: %v", r.Case.ID, r.Case.Does, v)
			}
		})
	}
}

// checkPublished compares results with docs/autobahn.md, or writes them there.
func checkPublished(t *testing.T, results []Result) {
	for _, r := range results {
		if r.Plain.Rating == "" || r.TLS.Rating == "" {
			t.Log("docs/autobahn.md is not compared: not all cases were played without TLS and with it")
			return
		}
	}
	table := Table(results)
	old, err := os.ReadFile(resultsFile)
	if err != nil {
		t.Fatal(err)
	}
	head, published, ok := strings.Cut(string(old), marker)
	switch {
	case !ok:
		t.Fatalf("%s has no line that ends with %q", resultsFile, marker)
	case *rewrite:
		if err := os.WriteFile(resultsFile, []byte(head+marker+table), 0o666); err != nil {
			t.Fatal(err)
		}
	case published != table:
		t.Errorf("%s is out of date; run: go test ./internal/autobahn -rewrite", resultsFile)
	}
}
