// Package hub fans messages out: one log per topic, one cursor per member.
//
// # The idea
//
// Publishing appends a frame to the log of its topic. It does so once, however
// many members the topic has. A member is a cursor into the log of each topic
// it is in. When its turn comes, it takes everything between its cursor and the
// head of the log as a few slices, ready for one write. Under light load that
// is one message, at once. Under heavy load it is many messages, without any
// further mechanism. Nothing is queued, copied or locked per message and
// member.
//
// Frames that belong to one member alone wait in a private queue beside its
// cursors: its copies of what it published, and what was posted to it.
//
// # One order
//
// Every publish gets the next number of one sequence, also if nobody receives
// it. Nothing else takes a number. So several hubs that are given the same
// publishes in the same order give them the same numbers.
//
// A member receives its frames in the order of these numbers, because its logs
// and its private queue are merged by number. What is posted to it comes after
// the last publish before the post. Two frames with the same number are the same
// message, and the member gets only one of them. That is how a sender gets its
// own copy in place of the common one. It is also how a message that was
// published to two topics reaches a member of both only once.
//
// # Shards
//
// Members are divided among shards. One goroutine runs the turns of a shard:
// [Shard.Turn] takes a snapshot of all logs that have news (the shard's cut),
// then wakes each member concerned once. A member never sees beyond its shard's
// cut, so all logs that it reads agree with each other.
//
// # Bounds
//
// A log keeps what some member has not read yet, at most [Config].Backlog
// bytes. All logs together keep at most half of [Config].Memory. Beyond that
// the oldest entries are dropped. A member that still needed them is behind: it
// is told so (ErrBehind, or the frame of Config.Skipped), never silently
// skipped. A member that takes what it is offered never falls behind, because a
// publish that would cause this is refused (ErrBusy) until the shards have
// caught up.
//
// Logs also keep histories ([Hub.Retain]). They are the first that is dropped if
// memory is needed, unless [Config].KeepHistory says that they must stay, so that
// they are the same on several servers. The caller then bounds them.
//
// What several servers have agreed on cannot be refused by one of them. Such a
// publish is forced ([Publication].Force): members that do not read fall behind
// first, then others of the topic. The logs may then take an eighth more than
// their half, and beyond that a chunk for each topic of the publish. The echo of
// a forced publish may exceed the quarter for private frames.
//
// # What it does not do
//
// It has no sockets, no clock and no goroutines, and it does not know what the
// bytes mean.
package hub
