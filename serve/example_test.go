package serve_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"crier/client"
	"crier/serve"
)

// A server on a free port of this machine, with one client that sends a message
// and gets its own copy.
func Example() {
	config := serve.Defaults()
	config.Listen = "localhost:0" // a free port
	config.Drain = 0              // disconnect all clients at once at the end
	server, err := serve.Open(config)
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- server.Run(ctx) }()

	conn, err := client.Dial(ctx, server.URL(), client.Handshake{})
	if err != nil {
		log.Fatal(err)
	}
	conn.Write([]byte("hi there"), false)
	message, _, err := conn.Next()
	if err != nil {
		log.Fatal(err)
	}
	text, _, _ := strings.Cut(string(message), `,"_now"`) // the time varies
	fmt.Println(text)
	conn.HangUp()

	stop()
	fmt.Println(<-ended)

	// Output:
	// {"data":"hi there"
	// <nil>
}

// Open refuses values that a field of Config does not allow.
func ExampleOpen_refused() {
	config := serve.Defaults()
	config.Ping = -1
	_, err := serve.Open(config)
	fmt.Println(err)

	// Output:
	// a time must not be negative
}
