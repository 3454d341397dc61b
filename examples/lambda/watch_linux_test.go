package lambda

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// told is a crier.yaml whose function has a variable.
func told(word string) string {
	return `routes: {$default: {integration: node, routeResponse: true}}
integrations: {node: {lambda: index.handler}}
environment: {WORD: ` + word + "}\n"
}

// patient is a handler that answers when there is a file, and says where it can
// be invoked.
const patient = `
const fs = require('fs');
exports.handler = async ({ body, until }) => {
  const file = until ?? (body?.startsWith('until ') && body.slice(6));
  if (file) console.log('waits for ' + file);
  while (file && !fs.existsSync(file)) await new Promise((resolve) => setTimeout(resolve, 2));
  if (until) console.log('has waited for ' + until);
  return { statusCode: 200, body: body === 'where' ? process.env.AWS_ENDPOINT_URL_LAMBDA : process.env.WORD };
};`

// TestWatchFile: a changed crier.yaml drops no connection and no event, nor one
// that nobody waits for. What is wrong is told, and changes nothing.
func TestWatchFile(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "index.js", patient)
	file := write(t, dir, "crier.yaml", told("one"))
	g := serve(t, file, "--watch")
	c := g.dial("")
	c.say("where")
	endpoint := c.hear()
	c.say("x")
	c.hears("before", "one")

	slow, alone := filepath.Join(dir, "slow"), filepath.Join(dir, "alone")
	c.say("until " + slow)
	g.logs("waits for " + slow)
	r, err := http.NewRequest(http.MethodPost, endpoint+"/2015-03-31/functions/node/invocations", strings.NewReader(fmt.Sprintf(`{"until":%q}`, alone)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Invocation-Type", "Event")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, response.Body)
	response.Body.Close()
	g.logs("waits for " + alone)

	write(t, dir, "crier.yaml", told("two"))
	g.logs("msg=reload file=crier.yaml")
	c.say("x")
	c.hears("the change counts", "two")
	write(t, dir, "slow", "")
	c.hears("what began before ends as it began", "one")
	write(t, dir, "alone", "")
	g.logs("has waited for " + alone)

	write(t, dir, "crier.yaml", "routes: {}\nintegrations:\n  node: {lambda: handler}\n")
	g.logs(`level=WARN msg="crier.yaml is not reloaded" cause="crier.yaml:3:10: integrations.node.lambda: \"handler\" names no function`)
	c.say("x")
	c.hears("a mistake changes nothing", "two")
	write(t, dir, "crier.yaml", told("three"))
	for got := ""; got != "three"; got = c.hear() {
		c.say("x")
	}
}

// TestHastyChanges: processes of what is gone do not pile up, though their
// handlers never answer.
func TestHastyChanges(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "index.js", patient)
	g := serve(t, write(t, dir, "crier.yaml", told("0")), "--watch")
	c := g.dial("")
	for n := range 5 {
		word := fmt.Sprint(n + 1)
		never := filepath.Join(dir, "never"+word)
		c.say("until " + never)
		g.logs("waits for " + never)
		write(t, dir, "new.yaml", told(word))
		if err := os.Rename(filepath.Join(dir, "new.yaml"), filepath.Join(dir, "crier.yaml")); err != nil {
			t.Fatal(err)
		}
		for got := ""; got != word; {
			c.say("x")                                                                           // none is left when the next change comes
			for got = c.hear(); strings.Contains(got, "Internal server error"); got = c.hear() { // what was waiting
			}
		}
	}
	g.logs("the function was closed")
	if n := strings.Count(g.said(), "the function was closed"); n > 4 {
		t.Errorf("%d events were not answered", n)
	}
}
