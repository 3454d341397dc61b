// Package client is a WebSocket to a crier server that reconnects by itself. It
// is to a Go program what crier.js is to a page.
//
//	room, err := client.Connect(ctx, "ws://localhost:8080", client.Options{Topics: []string{"lobby"}})
//	if err != nil {
//		return err
//	}
//	defer room.Close()
//	room.Send("hi there")
//	for m := range room.Messages() {
//		fmt.Printf("%s\n", m.Data) // {"data":"hi there","_now":1561016329388,"_me":true}
//	}
//
// A plain WebSocket can send and receive the same; this package only saves
// work. [Conn] is a WebSocket that does not reconnect.
//
// # What it promises
//
// Every message that is sent has one [Fate], and [Client.Send] reports it. No
// message is published twice, because the client only sends a message again if
// it is known not to have been published. A server that stops in good order
// closes a connection after everything that it published. What has not come
// back by then was not published, so the client sends it again on the next
// connection, in the same order. So a restart of the server loses nothing and
// duplicates nothing. The messages of one client arrive in the order in which
// it sent them. Only a message that is [Unsure] may still arrive later.
//
// When a connection is lost without a close frame, messages on their way are
// Unsure and are not sent again. With [Options].Once they are sent again. Each
// message then has an id, and clients that use that option, including those of
// crier.js, deliver each id once. These clients do not verify ids: a client
// that sends ids belonging to someone else makes the others ignore that
// sender's messages. They remember the last 8,192 ids of each of 1,000 senders.
//
// On API Gateway, messages of one client may overtake each other, and a message
// may be published twice. With Once, still nothing is lost and nothing is
// delivered twice. Without Once, Confirmed says how many messages were
// published, but not always which ones. There, set Options.Confirm to [Never]
// for apps other than broadcast, because the address does not tell which app it
// is. A stack that was deployed with --coalesce sends several messages in one
// frame. They are delivered one by one.
//
// # What it cannot promise
//
// A client that is not connected when a message is published misses it: crier
// keeps messages for live only. Apps other than broadcast and live do not
// mark a client's own messages, and binary messages are never marked. The fate of such messages is
// [Sent]. With --slow skip the server may skip copies of a client's own
// messages: the messages that were on their way are then Unsure, and what
// follows on this connection is Sent. If a program posts a message to this one
// connection and the message pretends to be the client's own ("_me":true), it
// is taken for the client's own. Messages that wait are in memory only.
//
// The heartbeats that crier.js sends to check its server, {"_beat":true}, are
// not delivered, unless Options.Confirm is Never.
//
// # Live
//
// With Options.Live it is a client of the app live, which remembers messages and
// knows who is there. The address is that of the app, with at least one topic:
//
//	room, err := client.Connect(ctx, "ws://localhost:8080/live", client.Options{
//		Topics: []string{"lobby"}, User: "ada", Live: &client.Live{Last: 20},
//	})
//
// Every text frame that the server sends is a [Message], in the server's order:
// what clients have sent, who has come and gone, greetings, and errors. Its
// [Kind] says which. [Client.Topic] returns a topic as it is now: who is here,
// and its state. When a greeting (Hello) says "missed":true, the history does
// not reach back to the last connection. Then a program must forget what it
// knows of the topic, and take what follows. State and Here do so by themselves.
//
// A session outlives a lost connection for some time (crier serve --linger).
// The next connection resumes it, and the server sends what was missed: all
// messages that it keeps arrive, in order, and none arrives twice. Messages that
// are not kept, such as binary ones, are missed.
//
// The server says how many messages of the session it has taken. So every
// message is published exactly once for as long as the session lives, whatever
// happens to connections: those that were taken are not sent again, and the
// others are, in order. Only if the session ends are messages Unsure that were
// on their way. What the server refuses is Rejected. If an answer is lost with
// the connection, the greeting only says that the message was taken. Then it is
// Confirmed, also in the rare case that it was refused.
//
// With NoEcho, and for binary messages, there are no answers. The fate of such a
// message is Sent as soon as it is written, but it is still sent again if the
// server has not taken it. The client keeps up to 1,024 of them, and asks the
// server from time to time how many it has taken. With NoEcho, State lacks what
// the client itself has set or dropped.
//
// A client of live does not reconnect if another connection has taken its session
// over, or if it was kicked.
//
// # When it reconnects
//
// It reconnects after every end of a connection, except those that were
// intended or are the client's own fault. These are a close with 1000, 1002,
// 1003, 1007 to 1010, or 3000 and above, and a handshake that was refused with
// a status below 500 other than 408 and 429. If the server closes a connection
// because its token has expired, the client asks [Options].Token for another one,
// and reconnects. Before each try it waits for a
// random time of up to 0.5 s, 1 s, 2 s … 30 s. After a connection that lasted
// five seconds it starts again with 0.5 s.
//
// It notices that a connection is dead when the server owes it a reaction and
// nothing arrives for Options.Timeout. Such a reaction is the copy of its own
// message, the server's reading of what is written, or the answer to a ping; in
// silence it sends pings. If a message has not come back after four times
// Options.Timeout, the connection counts as dead, whatever else arrives.
package client
