// Package cluster is the log that several servers share: records in, and the
// same records back, in one order on all servers.
//
//	l, err := cluster.Open(ctx, cluster.Config{Machine: m, …})
//	err = l.Append(record, own)   // m.Apply gets it on every server
//
// What a server knows is a fold of the log: a [Machine] that gets the same events
// in the same order is in the same state everywhere. Nobody may decide anything
// before its event comes back.
//
// # Words
//
//   - A record is what a machine is given. A batch is a list of records, and
//     one message of the stream. The stream is NATS JetStream's, or one in
//     memory in tests: it numbers the batches and stores them.
//   - A server's incarnation begins when it starts, and ends when it leaves or
//     is dead in the log. The same process may have several, one after the other.
//   - A tick is a batch that each server writes every second. A beat is a second
//     of the log: the log has as many as the server with the most ticks.
//   - A gap is a batch that was stored and has not come. A checkpoint is the
//     state of the machine, written to the log, so that what is before it can be
//     removed.
//
// # What it does not do
//
// It knows nothing of topics, messages or clients.
package cluster
