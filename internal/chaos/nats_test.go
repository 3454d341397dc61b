//go:build linux

package chaos

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"crier/internal/wiretest"
)

// A natsServer is a NATS of one's own.
type natsServer struct {
	t       *testing.T
	program string
	address string
	dir     string
	cmd     *exec.Cmd
}

// startNATS builds the program nats-server, and starts it.
func startNATS(t *testing.T) *natsServer {
	dir := t.TempDir()
	n := &natsServer{t: t, program: filepath.Join(dir, "nats-server"), dir: dir, address: wiretest.FreeAddresses(t, serverHost, 1)[0]}
	if out, err := exec.Command("go", "build", "-o", n.program, "github.com/nats-io/nats-server/v2").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	n.start()
	t.Cleanup(n.kill)
	return n
}

func (n *natsServer) start() {
	host, port, _ := net.SplitHostPort(n.address)
	n.cmd = exec.Command(n.program, "-js", "-a", host, "-p", port, "-sd", n.dir, "-l", filepath.Join(n.dir, "nats.log"))
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for deadline := time.Now().Add(patience); ; <-again.C {
		c, err := net.Dial("tcp", n.address)
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(filepath.Join(n.dir, "nats.log"))
			n.t.Fatal(fmt.Errorf("nats-server does not start: %w\n%s", err, log))
		}
	}
}

func (n *natsServer) kill() {
	n.cmd.Process.Kill()
	n.cmd.Wait()
}
