// Package hub fans messages out: one log per topic, one cursor per member.
//
// # The idea
//
// Publishing appends a frame to the log of its topic, once, however many
// members the topic has. A member is a cursor into the log of each topic it is
// in. When its turn comes it takes everything between its cursor and the head
// of the log as a few slices, ready for one write. Under light load that is one
// message, at once; under heavy load it is many, by itself. Nothing is queued,
// copied or locked per message and member.
//
// What belongs to one member alone (its copy of what it published itself, and
// what was posted to it) waits in a private queue beside its cursors.
//
// # One order
//
// Every publish and every post gets the next number of one sequence. A member
// receives what concerns it in the order of these numbers: logs and private
// queue are merged by number. Two things with the same number are the same
// message, of which the member gets one: that is how a sender gets its own copy
// in place of everybody's, and how a message published to two topics reaches a
// member of both only once.
//
// # Shards
//
// Members are divided among shards. One goroutine runs a shard's turns: Turn
// takes a picture of all logs that have news (the shard's cut), then wakes the
// members concerned, each once. A member never sees beyond its shard's cut, so
// all logs that it reads agree with each other.
//
// # Bounds
//
// A log keeps what some member has yet to read, at most Limits.Topic bytes; all
// logs together keep at most Limits.Total. Beyond that the oldest entries go,
// and a member that still needed them is behind: it is told (ErrBehind), never
// silently skipped. A member that takes what it is offered is never put behind:
// a publish that would do so is refused (ErrBusy) until the shards caught up.
//
// # What it does not do
//
// It has no sockets, no clock, no goroutines and no idea what the bytes mean.
package hub
