package wiretest

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
)

// Balance leads each connection to the next of some addresses, until the test ends. It returns its own address. Addresses are
// host:port.
func Balance(t *testing.T, addresses []string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	var open sync.WaitGroup
	open.Go(func() {
		for i := 0; ; i++ {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", addresses[i%len(addresses)])
			if err != nil {
				client.Close()
				continue
			}
			open.Go(func() { splice(ctx, client.(*net.TCPConn), server.(*net.TCPConn)) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		end()
		open.Wait()
	})
	return l.Addr().String()
}

// splice copies both ways until both have ended, or ctx is done.
func splice(ctx context.Context, a, b *net.TCPConn) {
	defer a.Close()
	defer b.Close()
	defer context.AfterFunc(ctx, func() { a.Close(); b.Close() })()
	var copying sync.WaitGroup
	for _, way := range [][2]*net.TCPConn{{a, b}, {b, a}} {
		copying.Go(func() {
			io.Copy(way[0], way[1])
			way[0].CloseWrite()
		})
	}
	copying.Wait()
}

// FreeAddresses returns addresses of a host of this machine at which nobody listens, as host:port.
func FreeAddresses(t *testing.T, host string, n int) (list []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		list = append(list, l.Addr().String())
	}
	return list
}
