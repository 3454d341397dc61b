package interop

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

var changing = regexp.MustCompile(`"_now":\d+|"[0-9a-z]+-[0-9a-z]{9}"`)

// same returns output without what differs each time: the time, and the epoch of
// an offset.
func same(output string) string {
	return changing.ReplaceAllStringFunc(output, func(s string) string {
		if _, number, ok := strings.Cut(s, "-"); ok {
			return `"-` + number
		}
		return "now"
	})
}

// TestRecipeCurl runs what docs/recipes/curl.md has, and compares what it prints
// with what the page says.
func TestRecipeCurl(t *testing.T) {
	url, dir := serve(t), t.TempDir()
	const page = "curl.md"
	listening := start(t, dir, "sh", "-c", recipe(t, page, "sh", 0, address(url)))
	listening.prints(`^data: {"_ready":true`)
	for n := range 2 {
		cmd := exec.Command("sh", "-c", recipe(t, page, "sh", 1+n, address(url)))
		out, err := cmd.Output()
		// The answers of the management API end without a line break.
		got := strings.TrimSpace(strings.ReplaceAll(string(out), "}{", "}\n{"))
		if want := strings.TrimSpace(recipe(t, page, "text", n, "")); err != nil || same(got) != same(want) {
			t.Errorf("%v: it prints\n%s\nand not\n%s", err, got, want)
		}
	}
	listening.prints(`^data: {"data":"the kettle is on",`)
	listening.prints(`^data: {"on":true,"by":"ada","_key":"lamp",`)
	listening.prints(`^data: {"_key":"lamp","_drop":true,`)
}

// TestRecipeListen: the script goes on after the last message that it printed.
func TestRecipeListen(t *testing.T) {
	url, dir := serve(t), t.TempDir()
	wire := lay(t, url)
	save(t, dir, "listen.sh", recipe(t, "curl.md", "sh", 3, wire.address))
	ada := visit(t, url, "kitchen", "ada")
	ada.says(`{"_key":"lamp","data":"on"}`)
	script := start(t, dir, "sh", "listen.sh", "kitchen")
	script.prints(`^{"data":"on","_key":"lamp",`)
	ada.says("one")
	script.prints(`^{"data":"one",`)
	wire.cut()
	ada.says("two")
	if line := script.prints("."); !strings.HasPrefix(line, `{"data":"two",`) {
		t.Errorf("it prints %s", line)
	}
	ada.says("three")
	script.prints(`^{"data":"three",`)
}
