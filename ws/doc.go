// Package ws is RFC 6455 as pure functions: frames, masks, UTF-8, close codes.
//
// # Bytes in, bytes out
//
// Writing appends to a slice, reading takes from one. There is no socket, no
// reader and no clock, so an event loop whose connections share one read buffer
// and a goroutine that owns its connection use the same code:
//
//	d := ws.Decoder{MaxMessage: 128 << 10}
//	for each b that was read {
//		for len(b) > 0 {
//			m, n, ok, err := d.Next(b)
//			if err != nil {
//				// err is a Close: send it, then hang up.
//			}
//			if ok {
//				// m is a message, or a ping, pong or close.
//			}
//			b = b[n:]
//		}
//	}
//
// # What it costs
//
// A frame that is complete in b is not copied: it is unmasked where it lies and
// handed out as a part of b. Nothing is allocated. Only what is not complete is
// kept, in memory that grows with the bytes that came and not with the bytes
// that were announced, and that is let go with the message. A [Decoder] that
// waits for the next message holds nothing: it is three words.
//
// # Faults
//
// Every rule of the RFC that a peer can break is checked as soon as the byte
// that breaks it is here, so how the bytes were cut into reads does not decide
// what is found. A fault is an error of type [Close]: the code and the sentence
// to tell the peer. The sentences stand together in faults.go.
//
// # What it does not do
//
// It answers nothing: to send the pong for a ping, to return a close frame and
// to ignore what follows one is up to the caller. It speaks no HTTP: of the
// handshake there is only [AcceptKey]. It does not write fragmented messages.
// It knows no extensions, and so no permessage-deflate: compressing would end
// sharing one frame among all receivers.
package ws
