package api

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A logbook is a log that a test reads while it is written.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logbook) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

// next waits for a text and forgets what was logged up to its line's end.
func (l *logbook) next(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		l.mu.Lock()
		found := strings.Index(l.text.String(), text)
		if found >= 0 {
			l.text.Next(found + strings.Index(l.text.String()[found:], "\n") + 1)
		}
		l.mu.Unlock()
		if found >= 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%q is not logged, but %s", text, l.text.String())
		}
	}
}

// A liveAPI is one whose file tests write.
type liveAPI struct {
	*Live
	t    *testing.T
	path string
	log  logbook
}

func newLive(t *testing.T, text string) *liveAPI {
	t.Helper()
	l := &liveAPI{t: t, path: filepath.Join(t.TempDir(), "crier.yaml")}
	l.write(text)
	file, err := Load(l.path)
	if err != nil {
		t.Fatal(err)
	}
	l.Live, err = Follow(file, Options{
		NewID:  func() string { return "id=" },
		Watch:  true,
		Report: func(Report) {},
		Log:    slog.New(slog.NewTextHandler(&l.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// write replaces the file at once, as editors do.
func (l *liveAPI) write(text string) {
	l.t.Helper()
	if err := os.WriteFile(l.path+"~", []byte(text), 0o666); err != nil {
		l.t.Fatal(err)
	}
	if err := os.Rename(l.path+"~", l.path); err != nil {
		l.t.Fatal(err)
	}
}

func (l *liveAPI) answers(want string) {
	l.t.Helper()
	reply := l.Message(newConnection(), []byte("x"), false)
	if got := string(reply(context.Background())); got != want {
		l.t.Errorf("it answers %s, want %s", got, want)
	}
}

// mocked is an API that answers with a text.
func mocked(body string) string {
	return fmt.Sprintf("routes: {$default: {integration: a, routeResponse: true}}\nintegrations: {a: {mock: {body: %s}}}\n", body)
}

// TestFollow: a changed file counts from then on; what is wrong with it is told,
// all of it, and changes nothing.
func TestFollow(t *testing.T) {
	l := newLive(t, mocked("one"))
	url := l.InvokeURL()
	l.answers("one")
	l.write(mocked("two"))
	l.log.next(t, "level=INFO msg=reload file=crier.yaml")
	l.answers("two")
	l.write("routes: {join: nobody}\nintegrations:\n  a: {mock: {statusCode: 9}}\n")
	l.log.next(t, `level=WARN msg="crier.yaml is not reloaded" cause="crier.yaml:1:10: routes.join: there is no integration`)
	l.log.next(t, `cause="crier.yaml:3:14: integrations.a.mock.statusCode: want a number`)
	l.answers("two")
	l.write("integrations: {a: {lambda: index.handler}}\nroutes: {}\n")
	l.log.next(t, "the handler index.handler is not there")
	l.write("stage: other\n" + mocked("three"))
	l.log.next(t, `cause="the stage was dev, and is other: crier must be started again for that"`)
	l.write("environment: {AWS_REGION: eu-north-1}\n" + mocked("three"))
	l.log.next(t, "crier must be started again for another region")
	if err := os.Remove(l.path); err != nil {
		t.Fatal(err)
	}
	l.log.next(t, "no such file or directory")
	l.answers("two")
	l.write(mocked("four"))
	l.log.next(t, "level=INFO msg=reload")
	l.answers("four")
	if l.InvokeURL() != url {
		t.Error("functions are invoked elsewhere now")
	}
}

// TestEventsEndWhereTheyBegin: an event that is with its handler is answered by
// it, whatever the file says meanwhile.
func TestEventsEndWhereTheyBegin(t *testing.T) {
	arrived, proceed := make(chan struct{}), make(chan struct{})
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-proceed
		io.WriteString(w, "from before")
	}))
	defer web.Close()
	l := newLive(t, fmt.Sprintf("routes: {$default: {integration: a, routeResponse: true}}\nintegrations: {a: {http: %q}}\n", web.URL))
	reply := l.Message(newConnection(), []byte("x"), false)
	got := make(chan string)
	go func() { got <- string(reply(context.Background())) }()
	<-arrived
	l.write(mocked("now"))
	l.log.next(t, "msg=reload")
	l.answers("now")
	close(proceed)
	if answer := <-got; answer != "from before" {
		t.Errorf("the event before was answered %s", answer)
	}
}

// TestChangesUnderLoad: while the file changes, each event is handled once.
func TestChangesUnderLoad(t *testing.T) {
	l := newLive(t, mocked("0"))
	over := make(chan struct{})
	var talking sync.WaitGroup
	for range 4 {
		talking.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				reply := l.Message(newConnection(), []byte("x"), false)
				if got := string(reply(context.Background())); len(got) != 1 {
					t.Errorf("an answer is %q", got)
				}
			}
		})
	}
	for n := range 5 {
		l.write(mocked(fmt.Sprintf("'%d'", n+1)))
		l.log.next(t, "msg=reload")
	}
	close(over)
	talking.Wait()
	l.answers("5")
}
