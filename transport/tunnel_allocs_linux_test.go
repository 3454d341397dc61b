//go:build !race

package transport

import (
	"io"
	"testing"

	"crier/ws"
)

// TestTunnelAllocates: sealing does not, and opening only what crypto/tls needs
// to read.
func TestTunnelAllocates(t *testing.T) {
	b := newBench(t)
	go io.Copy(io.Discard, b.client)
	frames := [][]byte{ws.AppendFrame(nil, ws.Text, make([]byte, 100)), ws.AppendFrame(nil, ws.Text, make([]byte, 100))}
	if n := testing.AllocsPerRun(100, func() { b.write(frames...) }); n >= 1 {
		t.Errorf("sealing allocates %v times", n)
	}
	records := make(chan []byte, 200)
	for range cap(records) {
		records <- b.forger.record(dataRecord, []byte("hello"))
	}
	if n := testing.AllocsPerRun(100, func() { b.tunnel.open(<-records) }); n > 2 {
		t.Errorf("opening allocates %v times", n)
	}
}
