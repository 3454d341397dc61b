package door

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write the tables of docs/limits.md anew; read the diff")

const (
	limitsFile = "../docs/limits.md"
	marker     = "-rewrite -->\n"
)

// TestLimitsAreDocumented: docs/limits.md ends with the table of refusals as it stands in the code.
func TestLimitsAreDocumented(t *testing.T) {
	old, err := os.ReadFile(limitsFile)
	if err != nil {
		t.Fatal(err)
	}
	head, _, ok := strings.Cut(string(old), marker)
	if !ok {
		t.Fatalf("%s has no line that ends with %q", limitsFile, marker)
	}
	want := head + marker + refusalTables()
	if *rewrite {
		if err := os.WriteFile(limitsFile, []byte(want), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(old) != want {
		t.Errorf("%s is out of date; run: go test ./door -run Limits -rewrite", limitsFile)
	}
}

func refusalTables() string {
	var requests, ends strings.Builder
	for _, no := range Refusals() {
		say := "`" + strings.TrimSpace(no.Say) + "`"
		if no.Say == "" {
			say = "(empty)"
		}
		if no.Code != 0 {
			fmt.Fprintf(&ends, "| %d | `%s` | %s | %s |\n", no.Code, no.Name, say, no.Why)
			continue
		}
		kind := no.Type
		if kind != "" {
			kind = "`" + kind + "`"
		}
		fmt.Fprintf(&requests, "| %d | `%s` | %s | %s | %s |\n", no.Status, no.Name, kind, say, no.Why)
	}
	return `
## Refused handshakes and requests

Refused handshakes are answered in plain text. The management API answers in API Gateway's form, except for 404 and 405. The
sentence in an answer may be longer or more precise than the one here. Metric: ` + "`crier_refusals_total{reason=\"…\"}`" + `.

| status | name | x-amzn-ErrorType | sentence | when |
|---|---|---|---|---|
` + requests.String() + `
## Ends of connections

Metric: ` + "`crier_closes_total{reason=\"…\"}`" + `. Besides the names below there is ` + "`client`" + ` (it sent a close frame) and ` + "`lost`" + `
(the socket ended without one).

After 1001, 1011 and 1013 a client should reconnect, after a random time that grows. After the other codes that would not help: the
end was intended, or the client made a mistake. Before crier closes a connection with 1000 or 1001, it sends the client its own copy
of every message that it published for it. A message without a copy was not published, and may be sent again.

| close code | name | reason | when |
|---|---|---|---|
` + ends.String()
}
