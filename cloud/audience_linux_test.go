package cloud

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"crier/internal/dynalite"
	"crier/lambda"
	"crier/localca"
)

// BenchmarkAudience has one message reach an audience: with crier, and with the handler of examples/lambda/broadcast, which
// is written as the serverless tutorials write it. The management API answers after 10 ms, over TLS. It reports
// the processor's time for each delivery, and how long the event took.
//
//	go test ./cloud -run - -bench Audience -benchtime 3x
func BenchmarkAudience(b *testing.B) {
	for _, size := range []int{1000, 5000, 40_000} {
		for _, who := range []string{"crier", "node"} {
			b.Run(fmt.Sprintf("%s/%d", who, size), func(b *testing.B) { benchmarkAudience(b, who, size, 1) })
		}
		b.Run(fmt.Sprintf("crier-512MB/%d", size), func(b *testing.B) { benchmarkAudience(b, "crier", size, 512.0/1769) })
	}
}

func benchmarkAudience(b *testing.B, who string, size int, share float64) {
	dir := b.TempDir()
	authority, err := localca.Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	var reached atomic.Int64
	api := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		time.Sleep(10 * time.Millisecond)
		reached.Add(1)
	}))
	api.TLS = authority.Config()
	api.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	api.StartTLS()
	defer api.Close()
	database := dynalite.Start(b)
	f := openAudience(b, who, dir, database, append(authority.Variables(), "AWS_ENDPOINT_URL_DYNAMODB="+database))
	fill(b, who, database, size)

	domain := strings.Replace(api.URL, "https://127.0.0.1", "localhost", 1)
	event, _ := json.Marshal(map[string]any{"body": "hello", "requestContext": map[string]any{
		"eventType": "MESSAGE", "connectionId": idOf(1), "requestId": "request", "domainName": domain, "stage": "dev",
	}})
	invoke := func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		if answer, err := f.Invoke(ctx, event); err != nil {
			b.Fatalf("%s, %v", answer, err)
		}
	}
	invoke() // so that it is warm
	reached.Store(0)
	before := processorTime(b)
	if share < 1 {
		defer throttle(share)()
	}
	b.ResetTimer()
	for range b.N {
		invoke()
	}
	b.StopTimer()
	used := processorTime(b) - before
	b.ReportMetric(float64(reached.Load())/float64(b.N), "reached/op")
	b.ReportMetric(float64(used.Microseconds())/float64(reached.Load()), "µs-cpu/delivery")
}

// openAudience starts the function that is compared.
func openAudience(b *testing.B, who, dir, database string, variables []string) *lambda.Function {
	b.Helper()
	config := lambda.Config{
		Name: who, Region: "us-east-1", Memory: 512, Timeout: 5 * time.Minute, Concurrency: 1,
		Environment: append(os.Environ(), append(variables, "AWS_ACCESS_KEY_ID=x", "AWS_SECRET_ACCESS_KEY=x", "AWS_REGION=us-east-1", "TABLE_NAME=connections", "CRIER_TABLE=crier", "CRIER_APP=broadcast")...),
		Output:      func([]string) {},
		Log:         slog.New(slog.DiscardHandler),
	}
	switch who {
	case "crier":
		config.Bootstrap = filepath.Join(dir, "bootstrap")
		build(b, "go", "build", "-o", config.Bootstrap, "crier/cmd/crier")
	case "node":
		build(b, "node", "../examples/lambda/node_modules/typescript/bin/tsc", "-p", "../examples/lambda/broadcast")
		config.Directory, config.Handler = "../examples/lambda/broadcast/dist", "handle.handle"
	}
	f, err := lambda.Open(config)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(f.Close)
	return f
}

func build(b *testing.B, name string, args ...string) {
	b.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
}

// fill registers an audience, each in its own way.
func fill(b *testing.B, who, database string, size int) {
	b.Helper()
	ctx, table := context.Background(), "crier"
	var rows []types.WriteRequest
	put := func(row item) { rows = append(rows, types.WriteRequest{PutRequest: &types.PutRequest{Item: row}}) }
	if who == "node" {
		table = "connections"
		_, err := dynalite.Client(database).CreateTable(ctx, &dynamodb.CreateTableInput{
			TableName: &table, BillingMode: types.BillingModePayPerRequest,
			AttributeDefinitions: []types.AttributeDefinition{{AttributeName: ptr("connectionId"), AttributeType: types.ScalarAttributeTypeS}},
			KeySchema:            []types.KeySchemaElement{{AttributeName: ptr("connectionId"), KeyType: types.KeyTypeHash}},
		})
		if err != nil {
			b.Fatal(err)
		}
		for i := range size {
			put(item{"connectionId": text(idOf(i + 1))})
		}
	} else {
		dynalite.CreateTable(b, database, table)
		expires := seconds(time.Now().Add(lifetime - time.Hour))
		sender := connectionKey(idOf(1))
		sender["exp"], sender["topics"] = expires, topicSet([]string{""})
		put(sender)
		for i := range size {
			membership := membershipKey("", idOf(i+1))
			membership["exp"] = expires
			put(membership)
		}
	}
	r := &registry{db: dynalite.Client(database), table: table}
	if err := r.write(ctx, rows); err != nil {
		b.Fatal(err)
	}
}

func ptr(s string) *string { return &s }

// processorTime returns what the processes that we have started have used, except for node's database: the function's.
func processorTime(b *testing.B) (total time.Duration) {
	b.Helper()
	functions(func(_ int, used time.Duration) { total += used })
	return total
}

// throttle lets the function run for a share of every 20 ms, as Lambda does with less memory than a whole processor has.
func throttle(share float64) (stop func()) {
	const period = 20 * time.Millisecond
	run := time.Duration(float64(period) * share)
	var pids []int
	functions(func(pid int, _ time.Duration) { pids = append(pids, pid) })
	signal := func(s syscall.Signal) {
		for _, pid := range pids {
			syscall.Kill(pid, s)
		}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-time.After(run):
			}
			signal(syscall.SIGSTOP)
			time.Sleep(period - run)
			signal(syscall.SIGCONT)
		}
	}()
	return func() { close(done); <-ended }
}

// functions tells of each process of a function that we have started its id and the processor's time that it has used.
func functions(tell func(pid int, used time.Duration)) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		variables, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "environ"))
		if !strings.Contains(string(variables), "AWS_LAMBDA_FUNCTION_NAME=") {
			continue
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(rest)
		var parent, user, system int64
		fmt.Sscan(fields[1], &parent)
		fmt.Sscan(fields[11], &user)
		fmt.Sscan(fields[12], &system)
		if parent == int64(os.Getpid()) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			tell(pid, time.Duration(user+system)*10*time.Millisecond) // a hundred ticks a second
		}
	}
}
