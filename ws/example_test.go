package ws_test

import (
	"fmt"

	"crier/ws"
)

// A server's side of a conversation: what has been read goes in, what is to be
// written comes out.
func Example() {
	key := [4]byte{1, 2, 3, 4}
	read := ws.AppendMaskedFrame(nil, ws.Text, key, []byte("hi"))
	read = ws.AppendMaskedFrame(read, ws.Ping, key, nil)
	read = append(read, "GET / HTTP/1.1"...)

	var write []byte
	var d ws.Decoder
	for len(read) > 0 {
		m, n, ok, err := d.Next(read)
		if fault, is := err.(ws.Close); is {
			fmt.Println(fault)
			write = ws.AppendClose(write, fault)
			break
		}
		if ok && m.Op == ws.Text {
			fmt.Printf("they say %s\n", m.Data)
		}
		if ok && m.Op == ws.Ping {
			write = ws.AppendFrame(write, ws.Pong, m.Data)
		}
		read = read[n:]
	}
	fmt.Printf("% x ...\n", write[:6])
	// Output:
	// they say hi
	// close 1002: a reserved bit is set, but no extension was agreed on
	// 8a 00 88 37 03 ea ...
}
