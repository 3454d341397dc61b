package interop

import (
	"bufio"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"crier/client"
)

// recipe returns the nth program in a language of a page of docs/recipes, for
// a server at address.
func recipe(t *testing.T, page, fence string, n int, address string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../docs/recipes", page))
	if err != nil {
		t.Fatal(err)
	}
	programs := regexp.MustCompile("(?ms)^```"+fence+"\n(.*?)^```").FindAllStringSubmatch(string(text), -1)
	if len(programs) <= n {
		t.Fatalf("%s has %d programs in %s", page, len(programs), fence)
	}
	return regexp.MustCompile(`(localhost|192\.168\.1\.20):8080`).ReplaceAllLiteralString(programs[n][1], address)
}

// save writes a program into a directory.
func save(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// needs fails the test where a program is not installed.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, name := range programs {
		if _, err := exec.LookPath(name); err != nil {
			t.Fatalf("%v: run make deps", err)
		}
	}
}

// python returns a Python that has a module: the first on the path, or Debian's.
func python(t *testing.T, module string) string {
	t.Helper()
	for _, name := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(name, "-c", "import "+module).Run() == nil {
			return name
		}
	}
	t.Fatalf("no python3 has %s: run make deps", module)
	return ""
}

// A program of a recipe runs, and prints lines.
type program struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string
	ended chan struct{}
}

// start runs a program in dir until the test ends, with all that it starts.
func start(t *testing.T, dir, name string, args ...string) *program {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Stderr = dir, t.Output()
	cmd.Env = append(os.Environ(), "PYTHONUNBUFFERED=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p := &program{t: t, cmd: cmd, lines: make(chan string, 10_000), ended: make(chan struct{})}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.in = in
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			p.lines <- scanner.Text()
		}
		close(p.lines)
		cmd.Wait()
	}()
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		for range p.lines {
		}
		<-p.ended
	})
	return p
}

// prints waits until a line matches, and returns it.
func (p *program) prints(pattern string) string {
	p.t.Helper()
	for want, late := regexp.MustCompile(pattern), time.After(patience); ; {
		select {
		case line, ok := <-p.lines:
			if !ok {
				p.t.Fatalf("it ended before it printed %s", pattern)
			}
			if want.MatchString(line) {
				return line
			}
		case <-late:
			p.t.Fatalf("it does not print %s", pattern)
		}
	}
}

// A guest is a client of live. It is how a test sees what a program does.
type guest struct {
	*client.Client
	t        *testing.T
	messages chan client.Message
}

func visit(t *testing.T, url, topic, user string) *guest {
	t.Helper()
	c, err := client.Connect(t.Context(), url, client.Options{Topics: []string{topic}, User: user, Live: &client.Live{Presence: "1"}})
	if err != nil {
		t.Fatal(err)
	}
	g := &guest{Client: c, t: t, messages: make(chan client.Message, 10_000)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for m := range c.Messages() {
			g.messages <- m
		}
	}()
	t.Cleanup(func() {
		c.Close()
		<-done
	})
	g.sees(`"_ready":true`)
	return g
}

// sees waits until a message matches, and returns it.
func (g *guest) sees(pattern string) client.Message {
	g.t.Helper()
	for want, late := regexp.MustCompile(pattern), time.After(patience); ; {
		select {
		case m := <-g.messages:
			if want.Match(m.Data) {
				return m
			}
		case <-late:
			g.t.Fatalf("%s does not see %s", g.User(), pattern)
		}
	}
}

// says sends a text, which the server takes.
func (g *guest) says(text string) {
	g.t.Helper()
	select {
	case fate := <-g.Send(text):
		if fate != client.Confirmed {
			g.t.Fatalf("%q is %v", text, fate)
		}
	case <-time.After(patience):
		g.t.Fatalf("nobody takes %q", text)
	}
}

// A cable leads to a server, and can be cut.
type cable struct {
	address string
	mu      sync.Mutex
	ends    []net.Conn // guarded by mu
}

func lay(t *testing.T, url string) *cable {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{address: l.Addr().String()}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", strings.TrimPrefix(url, "ws://"))
			if err != nil {
				near.Close()
				continue
			}
			c.mu.Lock()
			c.ends = append(c.ends, near, far)
			c.mu.Unlock()
			for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
				running.Go(func() {
					io.Copy(way[0], way[1])
					near.Close()
					far.Close()
				})
			}
		}
	})
	t.Cleanup(func() {
		l.Close()
		c.cut()
		running.Wait()
	})
	return c
}

// cut ends all connections, without a word.
func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, end := range c.ends {
		end.Close()
	}
	c.ends = nil
}

func address(url string) string { return strings.TrimPrefix(url, "ws://") }

func TestRecipePython(t *testing.T) {
	url, dir := serve(t), t.TempDir()
	wire := lay(t, url)
	save(t, dir, "bot.py", recipe(t, "python.md", "python", 0, wire.address))
	save(t, dir, "sensor.py", recipe(t, "python.md", "python", 1, address(url)))

	ada := visit(t, url, "chat", "ada")
	bot := start(t, dir, python(t, "websockets"), "bot.py")
	bot.prints("^connected$")
	ada.says("!roll 20")
	ada.sees(`^{"data":"ada rolls (1?\d|20) of 20",.*"_user":"dice"`)
	bot.prints("^ada rolls")
	wire.cut()
	bot.prints("^the connection is gone: 1006")
	bot.prints("^connected$")
	ada.says("!roll sixes")
	ada.sees(`^{"data":"ada rolls [1-6] of 6",`)

	kitchen := visit(t, url, "kitchen", "")
	start(t, dir, "python3", "sensor.py").prints(`^\d+\.\d+ goes to 1$`)
	kitchen.sees(`^{"data":\d+\.\d+,"_key":"load",`)
}

func TestRecipeNode(t *testing.T) {
	url, dir := serve(t), t.TempDir()
	wire := lay(t, url)
	if out, err := exec.Command("curl", "-fsS", "-o", filepath.Join(dir, "crier.mjs"), "http://"+address(url)+"/crier.js").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	modules, err := filepath.Abs("node_modules")
	if err == nil {
		err = os.Symlink(modules, filepath.Join(dir, "node_modules"))
	}
	if err != nil {
		t.Fatal(err)
	}
	save(t, dir, "greeter.mjs", recipe(t, "node.md", "js", 0, wire.address))

	greeter := start(t, dir, "node", "greeter.mjs")
	greeter.prints("^here are greeter$")
	ada := visit(t, url, "chat", "ada")
	ada.sees(`^{"data":"Welcome, ada! You are guest 1\.",`)
	greeter.prints("^ada confirmed$")
	wire.cut()
	ben := visit(t, url, "chat", "ben")
	ben.sees(`^{"data":"Welcome, ben! You are guest 2\.",`)
	greeter.prints("^ben confirmed$")
	greeter.cmd.Process.Signal(syscall.SIGINT)
	ben.sees(`"_leave":.*"user":"greeter".*"why":"left"`)
	greeter.prints("^ended:")
}

// TestRecipeOverlay opens the page in Chromium, within another that reports
// what it shows.
func TestRecipeOverlay(t *testing.T) {
	needs(t, "chromium")
	dir := t.TempDir()
	url := serve(t, "--files", dir, "--watch")
	save(t, dir, "index.html", recipe(t, "obs.md", "html", 0, ""))
	probe, err := os.ReadFile("testdata/probe.html")
	if err != nil {
		t.Fatal(err)
	}
	save(t, dir, "probe.html", string(probe))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	reports, err := client.Dial(ctx, url+"/?topic=probe", client.Handshake{})
	if err != nil {
		t.Fatal(err)
	}
	defer reports.HangUp()
	defer context.AfterFunc(ctx, reports.HangUp)()

	ada := visit(t, url, "chat", "ada")
	for _, text := range []string{"one", "two", "three"} {
		ada.says(text)
	}
	start(t, dir, "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--remote-debugging-port=0", "--user-data-dir="+t.TempDir(), "http://"+address(url)+"/probe.html")
	shows := func(want string) {
		t.Helper()
		for {
			report, _, err := reports.Next()
			if err != nil {
				t.Fatalf("the page does not show %s: %v", want, err)
			}
			if strings.HasPrefix(string(report), `{"lines":`+want+`,"background":"rgba(0, 0, 0, 0)",`) {
				return
			}
		}
	}
	shows(`["ada: one","ada: two","ada: three"]`)
	for _, text := range []string{"four", `{"_key":"score","data":"no chat"}`, "five", "<i>six</i>"} {
		ada.says(text)
	}
	shows(`["ada: two","ada: three","ada: four","ada: five","ada: <i>six</i>"]`)
}

// TestRecipeUnity compiles the script against a stand-in for UnityEngine, and
// plays it there.
func TestRecipeUnity(t *testing.T) {
	needs(t, "mcs", "mono")
	url, dir := serve(t), t.TempDir()
	wire := lay(t, url)
	save(t, dir, "Crier.cs", recipe(t, "unity.md", "csharp", 0, wire.address))
	engine, err := filepath.Abs("testdata/unity/UnityEngine.cs")
	if err != nil {
		t.Fatal(err)
	}
	compile := exec.Command("mcs", "-langversion:7.2", "-warn:4", "-warnaserror", "-out:game.exe", "Crier.cs", engine)
	compile.Dir = dir
	if out, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	ben := visit(t, url, "game", "ben")
	game := start(t, dir, "mono", "game.exe", "ws://"+wire.address+"/live?topic=game&user=unity")
	joined := ben.sees(`"_join":{"id":"[^"]+","user":"unity"`)
	id := regexp.MustCompile(`"id":"[^"]+"`).FindString(string(joined.Data))
	ben.sees(`^{"x":0,"y":0,"_key":"at","_tied":true,.*"_user":"unity"`)
	io.WriteString(game.in, "1.5 2\n")
	ben.sees(`^{"x":1.5,"y":2,"_key":"at","_tied":true,.*"_user":"unity"`)
	ben.says(`{"x":2,"y":1.25,"_key":"at","_tied":true}`)
	game.prints("^new$")
	game.prints(`^at 2 1\.25$`)

	wire.cut()
	ben.says(`{"x":3,"y":1,"_key":"at","_tied":true}`)
	game.prints("^at 3 1$")
	io.WriteString(game.in, "4 4\n")
	ben.sees(`^{"x":4,"y":4,"_key":"at",`)
	if here := ben.Topic("").Here(); len(here) != 2 || `"id":"`+here[1].ID+`"` != id {
		t.Errorf("%v are here; unity was %s", here, id)
	}

	ben.Close()
	game.prints("^gone$")
	zoe := visit(t, url, "game", "zoe")
	game.in.Close()
	zoe.sees(`"_leave":.*"user":"unity".*"why":"left"`)
}

// TestRecipeArduino compiles the sketch against the declarations that it uses.
func TestRecipeArduino(t *testing.T) {
	needs(t, "g++")
	dir := t.TempDir()
	save(t, dir, "sketch.ino", recipe(t, "arduino.md", "cpp", 0, ""))
	compile := exec.Command("g++", "-x", "c++", "-std=gnu++17", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-I", "testdata/arduino",
		"-include", "Arduino.h", filepath.Join(dir, "sketch.ino"))
	if out, err := compile.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestRecipeMicroPython runs the program with CPython, on a board of air.
func TestRecipeMicroPython(t *testing.T) {
	url, dir := serve(t), t.TempDir()
	wire := lay(t, url)
	save(t, dir, "main.py", recipe(t, "micropython.md", "python", 0, wire.address))
	if err := os.CopyFS(dir, os.DirFS("testdata/micropython")); err != nil {
		t.Fatal(err)
	}
	board := start(t, dir, python(t, "aiohttp"), "main.py")
	board.prints("^connected$")
	kitchen := visit(t, url, "kitchen", "ada")
	kitchen.sees(`^{ "data": 34000,"_key":"light",`)
	kitchen.says(`{"_key":"lamp","data":"on"}`)
	board.prints("^lamp 1$")
	wire.cut()
	board.prints("^connected$")
	board.prints("^lamp 1$")
	kitchen.says(`{"_key":"lamp","data":"off"}`)
	board.prints("^lamp 0$")
}
