package cluster

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// version is the version of batches that this server writes, and the newest
// that it reads.
const version = 1

// A batch is one message of the stream: a header, and items. All numbers are
// big-endian and of fixed width, so that a batch has one form only.
//
//	version 1 | epoch 8 | server 8 | n 8 | clock 8 | applied 8 | items
//	item:  kind 1 | length 4 | data
type batch struct {
	epoch   uint64 // of the log that the writer means
	server  Server // the writer's incarnation; 0 for the first messages of a log
	n       uint64 // 1, 2, 3, … within the incarnation
	clock   int64  // the writer's, in milliseconds since 1970
	applied uint64 // how far the writer had applied the log
	items   []byte
}

const (
	headerSize = 1 + 5*8
	itemHeader = 1 + 4
	// extraItems is what rides in a batch besides records and chunks: a tick,
	// a no-op, the ends of a checkpoint, an epoch, a bye; each once.
	extraItems = 256
)

// A kind is what an item of a batch says.
type kind uint8

const (
	itemRecord kind = iota + 1 // a record for the machine
	itemTick                   // the writer lives, and a second has passed
	itemEpoch                  // epoch 8, parts 4: only in the first message of a log
	itemHello                  // the writer's name: only in its first batch
	itemBye                    // the writer leaves
	itemBegin                  // after this batch, everybody saves its state
	itemChunk                  // a part of the state that the writer has saved there
	itemEnd                    // the SHA-256 of that state
	itemNoop                   // nothing: somebody waits for the batch, or wants the header
)

var errBatch = errors.New("cluster: the log has a batch that is no batch")

// A newerError says that a server writes what this one cannot read.
type newerError struct {
	server  Server
	name    string // empty: unknown
	version byte
}

func (e *newerError) Error() string {
	name := e.name
	if name == "" {
		name = fmt.Sprintf("another server (%016x)", uint64(e.server))
	}
	return fmt.Sprintf("cluster: %s speaks version %d of the log, this server version %d: upgrade it",
		name, e.version, version)
}

// putHeader writes the header into the first headerSize bytes of dst.
func (b *batch) putHeader(dst []byte) {
	dst[0] = version
	for i, v := range [...]uint64{b.epoch, uint64(b.server), b.n, uint64(b.clock), b.applied} {
		binary.BigEndian.PutUint64(dst[1+8*i:], v)
	}
}

// appendItem appends an item, whose data is the parts one after the other.
func appendItem(dst []byte, k kind, parts ...[]byte) []byte {
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	dst = append(dst, byte(k))
	dst = binary.BigEndian.AppendUint32(dst, uint32(size))
	for _, p := range parts {
		dst = append(dst, p...)
	}
	return dst
}

// parseBatch reads a message. All of its items are checked, so next cannot fail.
// The batch refers to data. The error is errBatch or a *newerError.
func parseBatch(data []byte) (batch, error) {
	// The version and the first two numbers are where they are in all versions.
	if len(data) >= 17 && data[0] > version {
		return batch{}, &newerError{server: Server(binary.BigEndian.Uint64(data[9:])), version: data[0]}
	}
	if len(data) < headerSize || data[0] != version {
		return batch{}, errBatch
	}
	number := func(i int) uint64 { return binary.BigEndian.Uint64(data[1+8*i:]) }
	b := batch{
		epoch: number(0), server: Server(number(1)), n: number(2),
		clock: int64(number(3)), applied: number(4), items: data[headerSize:],
	}
	if b.clock < 0 {
		return batch{}, errBatch
	}
	for rest := b.items; len(rest) > 0; {
		if len(rest) < itemHeader {
			return batch{}, errBatch
		}
		size := binary.BigEndian.Uint32(rest[1:])
		if uint64(size) > uint64(len(rest)-itemHeader) || !allowed(kind(rest[0]), size) {
			return batch{}, errBatch
		}
		rest = rest[itemHeader+int(size):]
	}
	return b, nil
}

// allowed reports whether an item of that kind may have so many bytes of data.
func allowed(k kind, size uint32) bool {
	switch k {
	case itemRecord, itemChunk:
		return true
	case itemHello:
		return size <= maxName
	case itemEpoch:
		return size == 12
	case itemEnd:
		return size == sha256.Size
	case itemTick, itemBye, itemBegin, itemNoop:
		return size == 0
	}
	return false
}

// next takes the first item off items, which parseBatch has checked.
func next(items []byte) (k kind, data, rest []byte) {
	size := int(binary.BigEndian.Uint32(items[1:]))
	end := itemHeader + size
	return kind(items[0]), items[itemHeader:end:end], items[end:]
}

// first returns the kind and the data of the first item; 0 if there is none.
func (b *batch) first() (kind, []byte) {
	if len(b.items) == 0 {
		return 0, nil
	}
	k, data, _ := next(b.items)
	return k, data
}
