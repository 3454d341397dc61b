package client_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"crier/client"
	"crier/serve"
	"crier/ws"
)

// open starts a server on a free port. stop ends it.
func open() (url string, stop func()) {
	config := serve.Defaults()
	config.Listen, config.Drain = "localhost:0", 0
	server, err := serve.Open(config)
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- server.Run(ctx) }()
	return server.URL(), func() {
		cancel()
		if err := <-ended; err != nil {
			log.Print(err)
		}
	}
}

// withoutTime cuts the stamps, because the time in them varies.
func withoutTime(message []byte) string {
	text, _, _ := strings.Cut(string(message), `,"_now"`)
	return text
}

// A client that sends a message, waits for its fate and receives its own copy.
func ExampleConnect() {
	url, stop := open()
	defer stop()

	room, err := client.Connect(context.Background(), url, client.Options{Topics: []string{"lobby"}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(<-room.Send("hi there"))
	room.Close()
	for m := range room.Messages() {
		fmt.Println(withoutTime(m.Data), m.Mine)
	}

	// Output:
	// confirmed
	// {"data":"hi there" true
}

// Two clients of live. One sees the other come, show its cursor, and go.
func ExampleTopic() {
	url, stop := open()
	defer stop()

	join := func(user string) *client.Client {
		c, err := client.Connect(context.Background(), url+"/live", client.Options{Topics: []string{"board"}, User: user, Live: &client.Live{}})
		if err != nil {
			log.Fatal(err)
		}
		for m := range c.Messages() {
			if m.Kind == client.Ready {
				break
			}
		}
		return c
	}
	ada := join("ada")
	defer ada.Close()
	ben := join("ben")
	board := ben.Topic("board")
	for _, member := range board.Here() {
		fmt.Println(member.User, "is here")
	}
	fmt.Println(<-board.Set("cursor", `{"x":3,"y":4}`, client.Tied))
	ben.Close()

	for m := range ada.Messages() {
		switch m.Kind {
		case client.Joined:
			fmt.Println(m.User, "has come")
		case client.Said:
			fmt.Println(m.User, m.Key.Name, m.Dropped)
		case client.Left:
			fmt.Println(m.User, "has left")
			return
		}
	}

	// Output:
	// ada is here
	// ben is here
	// confirmed
	// ben has come
	// ben cursor false
	// ben cursor true
	// ben has left
}

// A single connection, which does not come back.
func ExampleDial() {
	url, stop := open()
	defer stop()

	conn, err := client.Dial(context.Background(), url, client.Handshake{})
	if err != nil {
		log.Fatal(err)
	}
	if err := conn.Write([]byte("hi there"), false); err != nil {
		log.Fatal(err)
	}
	message, _, err := conn.Next()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(withoutTime(message))

	conn.Goodbye(ws.Close{Code: ws.NormalClosure})
	_, _, err = conn.Next()
	fmt.Println(err)

	// Output:
	// {"data":"hi there"
	// close 1000
}
