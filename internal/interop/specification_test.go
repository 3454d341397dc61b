package interop

import (
	"flag"
	"os"
	"os/exec"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write deploy/testdata/specification.json anew")

// TestSpecification: what deploy's tests check the template with is what AWS's resource specification says. The
// specification comes from npm; it is kept in deploy/testdata so that those tests are fast and need no Node.
func TestSpecification(t *testing.T) {
	const file = "../../deploy/testdata/specification.json"
	cmd := exec.Command("node", "spec.mjs", "../../deploy/stack.yaml")
	cmd.Stderr = os.Stderr
	says, err := cmd.Output()
	if err != nil {
		t.Fatalf("node spec.mjs: %v: run make test, or npm ci in internal/interop", err)
	}
	if *rewrite {
		if err := os.WriteFile(file, says, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(says) != string(kept) {
		t.Errorf("%s is not what the npm package says: go test ./internal/interop -run Specification -rewrite, and read the diff", file)
	}
}
