package lambda

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// write writes a file of a directory that ends with the test.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

const unruly = `
exports.handler = async (event) => {
  const { eventType } = event.requestContext;
  const wish = eventType === 'CONNECT' ? (event.queryStringParameters || {}).wish : event.body;
  switch (wish) {
    case 'throw': throw new TypeError('thrown on purpose');
    case 'hang': await new Promise((resolve) => setTimeout(resolve, 1e6));
    case 'loop': for (;;);
    case 'exit': process.exit(7);
    case 'die': process.kill(process.pid, 'SIGKILL');
    case 'late': setTimeout(() => { throw new Error('too late to catch'); }); await new Promise((r) => setTimeout(r, 1000));
    case 'null': return null;
    case 'garbage': return 'garbage';
    case '500': return { statusCode: 500, body: 'sorry' };
    case 'print': process.stdout.write('x'.repeat(5e6)); return { statusCode: 200, body: 'printed' };
    case 'huge': return { statusCode: 200, body: 'x'.repeat(7e6) };
    default: return { statusCode: 200, body: String(wish) };
  }
};`

// TestUnrulyHandlers: whatever a handler does, its client is told what API Gateway would tell, the log names the cause,
// and others are served.
func TestUnrulyHandlers(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "index.js", unruly)
	write(t, dir, "broken.js", "throw new Error('broken from the start')")
	write(t, dir, "bootstrap", "#!/bin/sh\necho I am no Lambda function; exit 5\n")
	write(t, dir, "talker", `#!/bin/sh
while true; do
  id=$(curl -s -D - -o event "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/next" | tr -d '\r' | sed -n 's/^Lambda-Runtime-Aws-Request-Id: //p')
  curl -s -d '<not JSON>' "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/$id/response" >/dev/null
done
`)
	file := write(t, dir, "crier.yaml", `
stage: dev
routeSelectionExpression: $request.body.to
routes:
  $connect: node
  $default: {integration: node, routeResponse: true}
  broken: broken
  bootstrap: bootstrap
  talker: talker
integrations:
  node: {lambda: {handler: index.handler, timeout: 2s}}
  broken: {lambda: broken.handler}
  bootstrap: {lambda: {bootstrap: bootstrap}}
  talker: {lambda: {bootstrap: talker}}
`)
	g := serve(t, file)
	good := g.dial("")
	for _, test := range []struct{ message, frame, cause string }{
		{"throw", failed, "TypeError: thrown on purpose"},
		{"hang", failed, "Sandbox.Timedout: Task timed out after 2.00 seconds"},
		{"loop", failed, "Sandbox.Timedout"},
		{"exit", failed, "Runtime.ExitError: the process ended with exit status 7"},
		{"die", failed, "signal: killed"},
		{"late", failed, "Error: too late to catch"},
		{"null", failed, "malformed answer"},
		{"garbage", failed, `malformed answer: it is \"garbage\"; want an object such as {\"statusCode\": 200}`},
		{"huge", failed, "Function.ResponseSizeTooLarge"},
		{"500", "sorry", ""},
		{"print", "printed", ""},
		{`{"to":"broken"}`, failed, "broken from the start"},
		{`{"to":"bootstrap"}`, failed, `it last said \"I am no Lambda function\"`},
		{`{"to":"talker"}`, failed, "<not JSON>"},
	} {
		c := g.dial("")
		c.say(test.message)
		c.hears(test.message, test.frame)
		g.logs(test.cause)
		good.say("still here?")
		good.hears("somebody else after "+test.message, `still here\?`)
		c.say("and you?")
		c.hears("the same client after "+test.message, `and you\?`)
	}
	for wish, want := range map[string]int{"throw": 502, "exit": 502, "null": 502, "garbage": 502, "500": 500, "hang": 502, "fine": 101} {
		conn, resp, err := websocket.Dial(context.Background(), g.url+"?wish="+wish, nil)
		if conn != nil {
			conn.CloseNow()
		}
		if resp == nil || resp.StatusCode != want {
			t.Errorf("$connect, %s: got %+v, %v, want %d", wish, resp, err, want)
		}
	}
}

// TestAwsLimits: 29 seconds are too long for API Gateway, whatever the function may take.
func TestAwsLimits(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "index.js", unruly)
	g := serve(t, write(t, dir, "crier.yaml", "routes: {$connect: node, $default: node}\nintegrations: {node: {lambda: {handler: index.handler, timeout: 1m}}}"), "--aws-limits")
	start := time.Now()
	c := g.dial("")
	c.say("hang")
	dialed := make(chan string)
	go func() {
		_, resp, _ := websocket.Dial(context.Background(), g.url+"?wish=hang", nil)
		if resp == nil {
			dialed <- "no answer"
			return
		}
		dialed <- resp.Status
	}()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, frame, err := c.Read(ctx)
	if !strings.HasPrefix(string(frame), `{"message": "Endpoint request timed out", "connectionId":"`) {
		t.Errorf("got %s, %v", frame, err)
	}
	if took := time.Since(start); took < 29*time.Second || took > 45*time.Second {
		t.Errorf("it took %v", took)
	}
	if got := <-dialed; got != "504 Gateway Timeout" {
		t.Errorf("$connect: got %s", got)
	}
}

// family returns a process's descendants.
func family(pid int) (list []int) {
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, task := range tasks {
		more, _ := os.ReadFile(task)
		children = append(append(children, ' '), more...)
	}
	seen := make(map[int]bool)
	for _, field := range strings.Fields(string(children)) {
		var child int
		fmt.Sscan(field, &child)
		if !seen[child] {
			seen[child] = true
			list = append(append(list, child), family(child)...)
		}
	}
	return list
}

// TestNothingIsLeftBehind: however crier ends, its functions end, and those they have started.
func TestNothingIsLeftBehind(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "index.js", `exports.handler = async (event) => {
  if (event.body === 'hang') for (;;);
  if (event.body === 'child') require('child_process').spawn('sleep', ['1000']);
  return { statusCode: 200, body: 'done' };
};`)
	file := write(t, dir, "crier.yaml", "routes: {$default: {integration: node, routeResponse: true}}\nintegrations: {node: {lambda: index.handler}}")
	for _, how := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGKILL} {
		g := serve(t, file)
		c := g.dial("")
		if how != syscall.SIGKILL { // then only the kernel can do it, and it knows of our own children
			c.say("child")
			c.hears("a child", "done")
		}
		c.say("hang")
		var pids []int
		for deadline := time.Now().Add(patience); len(pids) < 1 || how != syscall.SIGKILL && len(pids) < 2; pids = family(g.cmd.Process.Pid) {
			if time.Now().After(deadline) {
				t.Fatalf("%v: there are processes %d", how, pids)
			}
		}
		start := time.Now()
		if how != syscall.SIGKILL {
			c.CloseNow()
		}
		g.stop(how)
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%v: it took %v", how, took)
		}
		for _, pid := range pids {
			for deadline := time.Now().Add(patience); alive(pid); time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("%v: process %d is left", how, pid)
				}
			}
		}
	}
}

// alive reports whether a process is there and not just waiting for its parent to notice.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

// TestWatch: a changed handler answers soon. The time is told, and bounded only roughly: machines differ.
func TestWatch(t *testing.T) {
	dir := t.TempDir()
	code := func(n int) string {
		return fmt.Sprintf("exports.handler = async () => ({ statusCode: 200, body: '%d' });", n)
	}
	write(t, dir, "index.js", code(0))
	g := serve(t, write(t, dir, "crier.yaml", "routes: {$default: {integration: node, routeResponse: true}}\nintegrations: {node: {lambda: index.handler}}"), "--watch")
	c := g.dial("")
	c.say("x")
	c.hears("before", "0")
	var times []time.Duration
	for n := range 5 {
		start := time.Now()
		write(t, dir, "new.js", code(n+1))
		if err := os.Rename(filepath.Join(dir, "new.js"), filepath.Join(dir, "index.js")); err != nil { // as editors do
			t.Fatal(err)
		}
		for got := ""; got != fmt.Sprint(n+1); got = c.hear() {
			if time.Since(start) > patience {
				t.Fatal("the change does not count")
			}
			c.say("x")
		}
		times = append(times, time.Since(start))
	}
	sort.Slice(times, func(i, k int) bool { return times[i] < times[k] })
	t.Logf("from the change to the first answer: %v", times)
	if times[0] > 2*time.Second {
		t.Errorf("the fastest of %v", times)
	}
}

// TestOverhead: what crier adds to an event of a warm bootstrap. It is told, and bounded only roughly.
func TestOverhead(t *testing.T) {
	g := serve(t, "go/crier.yaml")
	c := g.dial("")
	c.say("warm")
	c.hear()
	var times []time.Duration
	for range 500 {
		start := time.Now()
		c.say("x")
		c.hear()
		times = append(times, time.Since(start))
	}
	sort.Slice(times, func(i, k int) bool { return times[i] < times[k] })
	t.Logf("from message to answer, the handler included: p50 %v, p99 %v", times[250], times[495])
	if times[250] > 20*time.Millisecond {
		t.Errorf("p50 is %v", times[250])
	}
}

// TestInvoke: an event by hand, as the console's test button sends it.
func TestInvoke(t *testing.T) {
	invoke := func(args ...string) (string, string, error) {
		cmd := exec.Command(crier, append([]string{"gateway", "invoke", "python/crier.yaml"}, args...)...)
		cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+home)
		var errOut strings.Builder
		cmd.Stderr = &errOut
		out, err := cmd.Output()
		return string(out), errOut.String(), err
	}
	out, log, err := invoke("--route", "$default", "--connection", "JC1dgf9yoAMCK-g=", "--body", "hi", "--events")
	event, answer, _ := strings.Cut(out, "\n")
	if err != nil || answer != `{"statusCode": 200, "body": "{\"you\": \"JC1dgf9yoAMCK-g=\", \"said\": \"hi\"}"}`+"\n" {
		t.Errorf("got %q, %v\n%s", answer, err, log)
	}
	if !json.Valid([]byte(event)) || !strings.Contains(event, `"domainName":"localhost:8080"`) || !strings.Contains(log, "MESSAGE JC1dgf9yoAMCK-g=") {
		t.Errorf("event %s, log %s", event, log)
	}
	if out, _, err := invoke("--route", "$connect"); err != nil || out != "{\"statusCode\": 200}\n" {
		t.Errorf("got %s, %v", out, err)
	}
	if _, log, err := invoke("--route", "nope"); err == nil || !strings.Contains(log, "there is no route nope; there are $connect, $default, $disconnect") {
		t.Errorf("got %v\n%s", err, log)
	}
}

// TestAuthorizer: a Lambda decides on handshakes, and later events tell of its decision.
func TestAuthorizer(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "guard.js", `exports.handler = (event, context, callback) => {
  const { token } = event.queryStringParameters;
  if (token === 'stranger') return callback('Unauthorized');
  if (token === 'broken') return callback(new Error('the directory is down'));
  callback(null, {
    principalId: token,
    context: { role: 'player', level: 7 },
    policyDocument: {
      Version: '2012-10-17',
      Statement: [{ Action: 'execute-api:Invoke', Effect: token === 'foe' ? 'Deny' : 'Allow', Resource: event.methodArn }],
    },
  });
};`)
	write(t, dir, "index.js", "exports.handler = async (event) => ({ statusCode: 200, body: JSON.stringify(event.requestContext.authorizer) });")
	g := serve(t, write(t, dir, "crier.yaml", `
routes: {$connect: main, $default: {integration: main, routeResponse: true}}
integrations: {main: {lambda: index.handler}, guard: {lambda: guard.handler}}
authorizer: {integration: guard, identitySource: [route.request.querystring.token]}`))
	c := g.dial("?token=ada")
	c.say("who am I?")
	c.hears("the decision", `\{"level":"7","principalId":"ada","role":"player"\}`)
	for query, want := range map[string]string{"": "401", "?token=": "401", "?token=stranger": "401", "?token=foe": "403", "?token=broken": "500"} {
		// wscat shows the status.
		if out := wscat(t, g.url+query); !strings.Contains(out, "Unexpected server response: "+want) {
			t.Errorf("%q: want %s, got\n%s", query, want, out)
		}
	}
	if out := wscat(t, g.url+"?token=bob"); !strings.Contains(out, `"principalId":"bob"`) {
		t.Errorf("wscat shows\n%s", out)
	}
}

// wscat connects, says hi, and returns what it shows.
func wscat(t *testing.T, url string) string {
	t.Helper()
	cmd := exec.Command("node", "../../internal/interop/node_modules/wscat/bin/wscat", "-c", url, "-x", "hi", "-w", "1")
	keyboard, err := cmd.StdinPipe() // at whose end it would leave at once
	if err != nil {
		t.Fatal(err)
	}
	defer keyboard.Close()
	out, _ := cmd.CombinedOutput() // its status tells nothing
	return string(out)
}

// TestOldSDKInModules: aws-sdk v2 goes where AWS_ENDPOINT_URL_… says also when an ES module imports it, or a part of it is required.
func TestOldSDKInModules(t *testing.T) {
	dir, err := os.MkdirTemp(".", "sdk-") // beside node_modules
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	write(t, dir, "module.mjs", `import AWS from 'aws-sdk';
export const handler = async () => ({ statusCode: 200, body: new AWS.DynamoDB().endpoint.href });`)
	write(t, dir, "part.js", `const DynamoDB = require('aws-sdk/clients/dynamodb');
exports.handler = async () => ({ statusCode: 200, body: new DynamoDB().endpoint.href });`)
	write(t, dir, "own.js", `const { DynamoDB } = require('aws-sdk');
exports.handler = async () => ({ statusCode: 200, body: new DynamoDB({ endpoint: 'http://localhost:7' }).endpoint.href });`)
	g := serve(t, write(t, dir, "crier.yaml", `
routes:
  module: {integration: module, routeResponse: true}
  part: {integration: part, routeResponse: true}
  own: {integration: own, routeResponse: true}
integrations: {module: {lambda: module.handler}, part: {lambda: part.handler}, own: {lambda: own.handler}}`))
	c := g.dial("")
	for route, want := range map[string]string{"module": dynamodb + "/", "part": dynamodb + "/", "own": "http://localhost:7/"} {
		c.say(fmt.Sprintf(`{"action":%q}`, route))
		c.hears(route, want)
	}
}
