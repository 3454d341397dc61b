package localdb

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"crier/api"
	"crier/internal/dynalite"
)

const packages = "../examples/lambda/node_modules"

// config returns a configuration with dynalite installed.
func config(t *testing.T) Config {
	t.Helper()
	return Config{
		Dir: filepath.Dir(packages), Region: "us-east-1", AccessKey: "KEY", SecretKey: "secret",
		Log: slog.New(slog.DiscardHandler), Tables: tables(t),
	}
}

func tables(t *testing.T) map[string]api.TableConfig {
	t.Helper()
	f, err := api.Parse("crier.yaml", []byte(`
routes: {}
integrations: {}
tables:
  rooms: {partitionKey: room}
  messages:
    partitionKey: room
    sortKey: {name: sent, type: N}
    indexes:
      byUser: {partitionKey: user, sortKey: {name: sent, type: N}, projection: [text]}
      byColour: {sortKey: colour, projection: KEYS_ONLY}
`))
	if err != nil {
		t.Fatal(err)
	}
	return f.Tables
}

func text(s string) types.AttributeValue   { return &types.AttributeValueMemberS{Value: s} }
func number(s string) types.AttributeValue { return &types.AttributeValueMemberN{Value: s} }

// TestOpen: there are the tables that were asked for, with their indexes, and nothing is left in the end.
func TestOpen(t *testing.T) {
	db, err := Open(t.Context(), config(t))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	client := dynalite.Client(db.Endpoint())
	_, err = client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("messages"), Item: map[string]types.AttributeValue{
		"room": text("hall"), "sent": number("1"), "user": text("ada"), "colour": text("blue"), "text": text("hi"), "more": text("x"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	for index, want := range map[string]string{"byUser": "room sent text user", "byColour": "colour room sent"} {
		found, err := client.Query(t.Context(), &dynamodb.QueryInput{
			TableName: aws.String("messages"), IndexName: &index,
			KeyConditionExpression:    aws.String(map[string]string{"byUser": "#u = :v", "byColour": "room = :v"}[index]),
			ExpressionAttributeNames:  map[string]map[string]string{"byUser": {"#u": "user"}}[index],
			ExpressionAttributeValues: map[string]types.AttributeValue{":v": text(map[string]string{"byUser": "ada", "byColour": "hall"}[index])},
		})
		if err != nil || len(found.Items) != 1 {
			t.Fatalf("%s: %v %v", index, found, err)
		}
		var names []string
		for name := range found.Items[0] {
			names = append(names, name)
		}
		if slices.Sort(names); strings.Join(names, " ") != want {
			t.Errorf("%s has %v, want %s", index, names, want)
		}
	}
	list, err := client.ListTables(t.Context(), &dynamodb.ListTablesInput{})
	if err != nil || strings.Join(list.TableNames, " ") != "messages rooms" {
		t.Errorf("tables %v, %v", list, err)
	}
	db.Close()
	if _, err := http.Get(db.Endpoint()); err == nil {
		t.Error("it still answers")
	}
}

// TestPages: a page in a browser, whatever its name, is not answered.
func TestPages(t *testing.T) {
	db, err := Open(t.Context(), config(t))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for name, change := range map[string]func(*http.Request){
		"a program":        func(*http.Request) {},
		"a page":           func(r *http.Request) { r.Header.Set("Origin", "http://localhost:3000") },
		"a browser":        func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "none") },
		"another name":     func(r *http.Request) { r.Host = "rebound.example.com" },
		"a name like ours": func(r *http.Request) { r.Host = "localhost.example.com" },
	} {
		r, _ := http.NewRequest(http.MethodPost, db.Endpoint(), strings.NewReader("{}"))
		change(r)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if refused := response.StatusCode == http.StatusForbidden; refused != (name != "a program") {
			t.Errorf("%s gets %s", name, response.Status)
		}
	}
}

// TestOwn: a DynamoDB that runs already gets the tables that it lacks, and keeps those that it has.
func TestOwn(t *testing.T) {
	c := config(t)
	c.Dir, c.Endpoint = "", dynalite.Start(t)
	for range 2 {
		db, err := Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if db.Endpoint() != c.Endpoint {
			t.Errorf("endpoint %s", db.Endpoint())
		}
		item := map[string]types.AttributeValue{"room": text("hall")}
		put := &dynamodb.PutItemInput{TableName: aws.String("rooms"), Item: item, ReturnValues: types.ReturnValueAllOld}
		if _, err := dynalite.Client(c.Endpoint).PutItem(t.Context(), put); err != nil {
			t.Error(err)
		}
		db.Close()
	}
	found, err := dynalite.Client(c.Endpoint).Scan(t.Context(), &dynamodb.ScanInput{TableName: aws.String("rooms")})
	if err != nil || found.Count != 1 {
		t.Errorf("%v, %v", found, err)
	}
	c.Endpoint = "http://127.0.0.1:1"
	if _, err := Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), "make the table messages in the DynamoDB at http://127.0.0.1:1") {
		t.Errorf("got %v", err)
	}
}

// A recorder is a log that a test reads.
type recorder struct {
	mu   sync.Mutex
	text bytes.Buffer
	told chan struct{}
}

func (r *recorder) Write(data []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text.Write(data)
	select {
	case r.told <- struct{}{}:
	default:
	}
	return len(data), nil
}

// TestEnd: when the DynamoDB ends too early, somebody is told.
func TestEnd(t *testing.T) {
	r := &recorder{told: make(chan struct{}, 1)}
	c := config(t)
	c.Log = slog.New(slog.NewTextHandler(r, nil))
	db, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.process.Process.Kill()
	select {
	case <-r.told:
	case <-time.After(30 * time.Second):
		t.Fatal("nobody is told")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !strings.Contains(r.text.String(), "the DynamoDB has ended") || runtime.GOOS != "windows" && !strings.Contains(r.text.String(), "killed") {
		t.Errorf("log: %s", r.text.String())
	}
}

// script writes a shell script into a directory.
func script(t *testing.T, dir, name, text string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("programs are shell scripts here")
	}
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text), 0o755)); err != nil {
		t.Fatal(err)
	}
}

// playJava puts a java into the path that runs dynalite at the port that DynamoDB Local is told.
func playJava(t *testing.T) (jar string) {
	t.Helper()
	modules, err := filepath.Abs(packages)
	if err != nil {
		t.Fatal(err)
	}
	bin, dir := t.TempDir(), t.TempDir()
	script(t, bin, "java", `
[ "$*" = "-Djava.library.path=DynamoDBLocal_lib -jar $PWD/DynamoDBLocal.jar -inMemory -sharedDb -port ${7}" ] || { echo "Error: $*" >&2; exit 1; }
[ "$DDB_LOCAL_TELEMETRY" = 0 ] || { echo "Error: telemetry" >&2; exit 1; }
echo $$ >pid
echo Initializing
exec node -e "require('`+modules+`/dynalite')({createTableMs: 0}).listen(${7}, '127.0.0.1')"
`)
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	jar = filepath.Join(dir, "DynamoDBLocal.jar")
	if err := os.WriteFile(jar, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return jar
}

// TestJar: DynamoDB Local serves the tables, too, and is gone in the end.
func TestJar(t *testing.T) {
	c := config(t)
	c.Jar = playJava(t)
	db, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	list, err := dynalite.Client(db.Endpoint()).ListTables(t.Context(), &dynamodb.ListTablesInput{})
	if err != nil || strings.Join(list.TableNames, " ") != "messages rooms" || db.Name() != "DynamoDB Local" {
		t.Errorf("%s has the tables %v, %v", db.Name(), list, err)
	}
	db.Close()
	if _, err := http.Get(db.Endpoint()); err == nil {
		t.Error("it still answers")
	}
}

// TestJarPort: a port that another program was faster to take is exchanged for another one.
func TestJarPort(t *testing.T) {
	c := config(t)
	c.Jar = playJava(t)
	real, err := exec.LookPath("java")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	script(t, bin, "java", `
[ -e `+bin+`/tried ] && exec `+real+` "$@"
touch `+bin+`/tried
echo "Exception in thread main: java.net.BindException: Address already in use" >&2
exit 1`)
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	db, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
}

// TestJarEnds: somebody is told when DynamoDB Local ends too early, and Close kills nothing else.
func TestJarEnds(t *testing.T) {
	c, r := config(t), &recorder{told: make(chan struct{}, 1)}
	c.Jar, c.Log = playJava(t), slog.New(slog.NewTextHandler(r, nil))
	db, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	pid, err := os.ReadFile(filepath.Join(filepath.Dir(c.Jar), "pid"))
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(strings.TrimSpace(string(pid)))
	if err != nil {
		t.Fatal(err)
	}
	p, err := os.FindProcess(number)
	if err != nil {
		t.Fatal(err)
	}
	p.Kill()
	<-db.exited
	<-r.told
}

// TestFind: what is installed is found near crier.yaml first, then where npm has it.
func TestFind(t *testing.T) {
	root, bin := t.TempDir(), t.TempDir()
	put := func(file string) string {
		t.Helper()
		path := filepath.Join(root, filepath.FromSlash(file))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o644)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	script(t, bin, "node", "")
	script(t, bin, "java", "")
	script(t, bin, "npm", `case "$1" in root) echo `+root+`/global;; config) echo `+root+`/cache;; *) exit 1;; esac`)
	t.Setenv("PATH", bin)
	c := Config{Dir: filepath.Join(root, "project", "api")}
	if _, err := find(t.Context(), c); !errors.Is(err, ErrNone) {
		t.Errorf("with nothing: %v", err)
	}
	for _, file := range []string{ // each before those above it
		"cache/_npx/0123/node_modules/dynalite/package.json",
		"global/dynalite/package.json",
		"project/.dynamodb/DynamoDBLocal.jar",
		"project/DynamoDBLocal.jar",
		"project/node_modules/dynalite/package.json",
		"project/api/node_modules/dynalite/package.json",
	} {
		want := strings.TrimSuffix(put(file), filepath.FromSlash("/package.json"))
		p, err := find(t.Context(), c)
		if err != nil || !slices.Contains(p.cmd.Args, want) {
			t.Errorf("got %v, %v, want %s", p.cmd, err, want)
		}
	}
	c.Jar = put("elsewhere/DynamoDBLocal.jar")
	if p, err := find(t.Context(), c); err != nil || !slices.Contains(p.cmd.Args, c.Jar) {
		t.Errorf("got %v, %v, want %s", p.cmd, err, c.Jar)
	}
	// What is found needs what runs it.
	t.Setenv("PATH", t.TempDir())
	for jar, want := range map[string]string{c.Jar: "java is not installed", "": "node is not installed", "none.jar": "no such file"} {
		c.Jar = jar
		if _, err := Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("with the jar %q: %v, want %s", jar, err, want)
		}
	}
}

// TestStart: what does not start says why.
func TestStart(t *testing.T) {
	c := config(t)
	c.Dir = t.TempDir()
	broken := filepath.Join(c.Dir, "node_modules", "dynalite")
	if err := errors.Join(os.MkdirAll(broken, 0o755), os.WriteFile(filepath.Join(broken, "package.json"), []byte("{}"), 0o644)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), c); err == nil || !regexp.MustCompile(`^start dynalite: Node v\S+ cannot load .*dynalite: Cannot find module`).MatchString(err.Error()) {
		t.Errorf("a broken dynalite: %v", err)
	}
	c.Jar = playJava(t)
	script(t, filepath.Dir(c.Jar), "java", "echo Initializing; echo 'Error: Unable to access jarfile' >&2; exit 1")
	t.Setenv("PATH", filepath.Dir(c.Jar)+string(os.PathListSeparator)+os.Getenv("PATH"))
	if _, err := Open(t.Context(), c); err == nil || err.Error() != "start DynamoDB Local: Unable to access jarfile" {
		t.Errorf("a broken jar: %v", err)
	}
	script(t, filepath.Dir(c.Jar), "java", "exec sleep 1000")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, c); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a mute one: %v", err)
	}
}

// TestNotAtAWS: no table is made at AWS.
func TestNotAtAWS(t *testing.T) {
	c := config(t)
	for endpoint, refused := range map[string]bool{
		"https://dynamodb.us-east-1.amazonaws.com":              true,
		"https://123456789012.ddb.eu-west-1.amazonaws.com:443/": true,
		"https://dynamodb.cn-north-1.amazonaws.com.cn":          true,
		"https://dynamodb.us-east-1.API.AWS.":                   true,
		"http://localhost:8000":                                 false,
		"http://dynamodb:8000":                                  false,
		"http://amazonaws.com.localhost:8000":                   false,
		"":                                                      false,
	} {
		if err := notAtAWS(endpoint); (err != nil) != refused {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
	c.Endpoint = "https://dynamodb.us-east-1.amazonaws.com"
	if _, err := Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), "is at AWS") {
		t.Errorf("got %v", err)
	}
}
