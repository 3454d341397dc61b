package localdb

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"crier/api"
)

// Config describes a DynamoDB.
type Config struct {
	Endpoint  string // of a DynamoDB that runs already; if empty, one is started
	Jar       string // DynamoDBLocal.jar; if empty, what is installed is found
	Dir       string // from where to look for it
	Region    string // of the functions, because DynamoDB Local may have tables for each region
	AccessKey string // and for each access key
	SecretKey string
	Tables    map[string]api.TableConfig // by name
	Log       *slog.Logger
}

// A DB is a DynamoDB that functions can use, from Open to Close.
type DB struct {
	name     string
	endpoint string
	log      *slog.Logger

	// Of a process that Open has started; nil if there is none.
	process *exec.Cmd
	alive   io.Closer // the process ends when it is closed
	words   *words
	waiting sync.WaitGroup
	exited  chan struct{} // closed when it has ended, and cause is why
	cause   error

	mu      sync.Mutex
	serving bool // from when it answers until Close
}

// startTimeout is how long a DynamoDB may take until it answers. Java is slow on a busy machine.
const startTimeout = 60 * time.Second

// Open starts a DynamoDB, unless there is one, and makes the tables that it lacks.
func Open(ctx context.Context, config Config) (*DB, error) {
	if err := notAtAWS(config.Endpoint); err != nil {
		return nil, err
	}
	db := &DB{name: "DynamoDB", endpoint: config.Endpoint, log: config.Log}
	if config.Endpoint == "" {
		var err error
		if db, err = start(ctx, config); err != nil {
			return nil, err
		}
	}
	if err := createTables(ctx, db.endpoint, config); err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

var atAWS = regexp.MustCompile(`(?i)(^|\.)(amazonaws\.com(\.cn)?|api\.aws|api\.amazonwebservices\.com\.cn)\.?$`)

// notAtAWS refuses the endpoints of the service: tables are made on this machine only.
func notAtAWS(endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil {
		return fmt.Errorf("the endpoint of DynamoDB: %w", err)
	}
	if atAWS.MatchString(u.Hostname()) {
		return fmt.Errorf("the endpoint %s is at AWS, where nothing is made: name one on this machine, or none", endpoint)
	}
	return nil
}

// Started reports whether Open has started it.
func (db *DB) Started() bool { return db.process != nil }

// Name returns what runs, for people.
func (db *DB) Name() string { return db.name }

// Endpoint returns its address: the value for AWS_ENDPOINT_URL_DYNAMODB.
func (db *DB) Endpoint() string { return db.endpoint }

// Close ends a DynamoDB that Open has started, and waits until it is gone.
func (db *DB) Close() {
	db.mu.Lock()
	db.serving = false
	db.mu.Unlock()
	if db.process != nil {
		db.alive.Close()
		end(db.process)
		db.waiting.Wait()
	}
}

// maxAttempts bounds how often another port is tried: one that was free may be taken before the program has it.
const maxAttempts = 5

var portTaken = regexp.MustCompile(`(?i)address already in use|failed to bind`)

// start starts the DynamoDB that is found.
func start(ctx context.Context, config Config) (*DB, error) {
	for attempt := 1; ; attempt++ {
		p, err := find(ctx, config)
		if err != nil {
			return nil, err
		}
		db := &DB{log: config.Log}
		if err = db.start(ctx, p, config); err == nil {
			return db, nil
		}
		db.Close()
		if p.endpoint == "" || attempt == maxAttempts || !portTaken.MatchString(err.Error()) {
			return nil, fmt.Errorf("start %s: %w", p.name, err)
		}
	}
}

// start starts a program and waits until it answers.
func (db *DB) start(ctx context.Context, p program, config Config) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("it does not answer within %v", startTimeout))
	defer cancel()
	db.name, db.endpoint, db.words, db.exited = p.name, p.endpoint, &words{}, make(chan struct{})
	p.cmd.Stderr = db.words
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if db.alive, err = p.cmd.StdinPipe(); err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	db.process = p.cmd
	printed := make(chan string, 1)
	db.waiting.Go(func() {
		lines := bufio.NewReader(out)
		line, _ := lines.ReadString('\n')
		printed <- strings.TrimSpace(line)
		if p.endpoint != "" { // the line says something else
			io.WriteString(db.words, line)
		}
		io.Copy(db.words, lines)
		db.cause = db.words.explain(p.cmd.Wait())
		close(db.exited)
		db.ended()
	})
	if err := db.await(ctx, printed, config); err != nil {
		return err
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	db.serving = true
	return nil
}

// await returns when the process answers.
func (db *DB) await(ctx context.Context, printed <-chan string, config Config) error {
	if db.endpoint != "" {
		return db.awaitAnswer(ctx, newClient(db.endpoint, config))
	}
	select {
	case line := <-printed:
		if u, err := url.Parse(line); err == nil && u.Host != "" {
			db.endpoint = line
			return nil
		}
		<-db.exited
		return db.cause
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// awaitAnswer returns when a DynamoDB answers at the process's port. Another program that has the port does not.
func (db *DB) awaitAnswer(ctx context.Context, client *dynamodb.Client) error {
	retry := time.NewTicker(50 * time.Millisecond)
	defer retry.Stop()
	for {
		asking, cancel := context.WithTimeout(ctx, 5*time.Second)
		_, err := client.ListTables(asking, &dynamodb.ListTablesInput{})
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-db.exited:
			return db.cause
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-retry.C:
		}
	}
}

// ended reports a process that has ended too early.
func (db *DB) ended() {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.serving {
		db.log.Error("the DynamoDB has ended, and its tables are gone", "cause", db.cause)
	}
}

// words is a Writer that keeps the end of what a process prints.
type words struct {
	mu   sync.Mutex
	text []byte
}

const maxWords = 4 << 10

func (w *words) Write(data []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, data...)
	if n := len(w.text); n > maxWords {
		w.text = append(w.text[:0], w.text[n-maxWords:]...)
	}
	return len(data), nil
}

var complaint = regexp.MustCompile(`(?m)^.*([Ee]rror|Exception)\b.*$`)

// explain returns why a process has ended: its first complaint, or its last line.
func (w *words) explain(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if line := complaint.Find(w.text); line != nil {
		return errors.New(strings.TrimPrefix(strings.TrimSpace(string(line)), "Error: "))
	}
	lines := strings.Split(strings.TrimSpace(string(w.text)), "\n")
	if last := strings.TrimSpace(lines[len(lines)-1]); last != "" {
		return errors.New(last)
	}
	if err == nil {
		return errors.New("it has ended without a word")
	}
	return err
}
