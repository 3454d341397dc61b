// Package client is a WebSocket to a crier server that comes back by itself: what crier.js is to a page, to a program in Go.
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
// A plain WebSocket hears and says the same; this only saves work. [Conn] is one, for when nothing should come back.
//
// # What it promises
//
// Every message that is sent has one [Fate], and Send tells it. Nothing is doubled: only what is known not to have been
// published is sent again. A server that stops in good order closes behind all that it has published; what has not come back by
// then was not published, and is sent again on the next connection, in its place. So a restart of the server loses nothing and
// doubles nothing. Messages of one client arrive in the order in which it sent them; only what is [Unsure] may still arrive later.
//
// When a connection is lost without a word, what was on its way is [Unsure], and not sent again; with [Options].Once it is,
// each message with an id by which clients with that option, also those of crier.js, deliver it once. They trust those who speak:
// who sends another's ids has them pass over its messages. And they remember the last 8,192 ids of each of 1,000 senders.
//
// On API Gateway messages of one client may overtake each other, and one may be published twice. With Once still nothing is lost
// and nothing doubled. Without, Confirmed says how many were published, and not always which. In apps other than broadcast say
// Options.Confirm [Never]: the address does not tell there which app it is.
//
// # What it cannot promise
//
// Who is not connected when a message is published misses it: crier keeps nothing. Apps other than broadcast do not say what is
// one's own, nor are binary messages marked: their fate is [Sent]. With --slow skip the server may skip copies of one's own
// messages: what was on its way is then Unsure, and what follows on this connection Sent. A message that somebody posts to this
// one connection, and that pretends to be its own ("_me":true), is taken for it. What waits is in memory.
//
// What crier.js says to hear whether its server is there, {"_beat":true}, is not delivered, unless Options.Confirm is [Never].
//
// # When it comes back
//
// After every end but those that were meant or are its own fault: a close with 1000, 1002, 1003, 1007 to 1010, or 3000 and
// above, and a handshake that was refused with a status below 500 other than 408 and 429. It waits a random time up to 0.5 s,
// 1 s, 2 s … 30 s. A connection that lasted five seconds begins anew.
//
// It notices that a connection is dead when there is no sign of life for Options.Timeout though one is due: a message of its
// own that has not come back, one that the server does not take, or the answer to a ping, which it sends in silence. A message that
// has not come back for four times as long will not, whatever else is heard.
package client
