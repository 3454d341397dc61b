package client_test

import (
	"context"
	"fmt"
	"log"

	"crier/client"
)

func Example() {
	room, err := client.Connect(context.Background(), "ws://localhost:8080", client.Options{
		Topics: []string{"lobby"},
		State:  func(_ *client.Client, s client.Status) { log.Print(s.State) },
	})
	if err != nil {
		log.Fatal(err)
	}
	defer room.Close()
	if fate := <-room.Send("hi there"); fate != client.Confirmed {
		log.Printf("it is %v", fate)
	}
	for m := range room.Messages() {
		fmt.Printf("%s\n", m.Data) // {"data":"hi there","_now":1561016329388,"_me":true}
	}
}
