package cluster

import (
	"encoding/binary"
	"errors"
)

// A state is what a checkpoint holds: the fold and the machine.
//
//	length of the fold 4 | fold | machine

var errState = errors.New("cluster: the log has a checkpoint that is no checkpoint")

// saveState appends the state of both.
func saveState(dst []byte, f *fold, m Machine) []byte {
	start := len(dst)
	dst = f.save(append(dst, 0, 0, 0, 0))
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return m.Save(dst)
}

// splitState returns the fold of a state, and what the machine has saved.
func splitState(state []byte) (*fold, []byte, error) {
	r := reader{state}
	f, err := restoreFold(r.bytes(int(r.uint32())))
	if err != nil || r.left == nil {
		return nil, nil, errState
	}
	return f, r.left, nil
}

// save appends the fold, as restoreFold takes it.
func (f *fold) save(dst []byte) []byte {
	put := func(vs ...uint64) {
		for _, v := range vs {
			dst = binary.BigEndian.AppendUint64(dst, v)
		}
	}
	half := uint64(0)
	if f.halfDone {
		half = 1
	}
	dst = append(dst, version)
	put(f.epoch, uint64(f.now), f.beat, f.since, uint64(f.begun.writer), f.begun.place, f.begun.size,
		half, f.complete, f.lastSize)
	put(uint64(len(f.ended)))
	for _, id := range f.ended {
		put(uint64(id))
	}
	put(uint64(len(f.servers)))
	for _, m := range f.servers {
		put(uint64(m.id), m.came, m.n, uint64(m.clock), m.applied, m.beats, m.wrote, uint64(len(m.name)))
		dst = append(dst, m.name...)
	}
	return dst
}

// restoreFold returns the fold that save has appended.
func restoreFold(data []byte) (*fold, error) {
	r := reader{data}
	if v := r.bytes(1); len(v) != 1 || v[0] != version {
		return nil, errState
	}
	f := &fold{epoch: r.uint64(), now: int64(r.uint64()), beat: r.uint64(), since: r.uint64()}
	f.begun = checkpoint{writer: Server(r.uint64()), place: r.uint64(), size: r.uint64()}
	half := r.uint64()
	f.halfDone, f.complete, f.lastSize = half == 1, r.uint64(), r.uint64()
	for n := r.uint64(); n > 0 && r.left != nil; n-- {
		f.ended = append(f.ended, Server(r.uint64()))
	}
	for n := r.uint64(); n > 0 && r.left != nil; n-- {
		m := &member{id: Server(r.uint64()), came: r.uint64(), n: r.uint64(), clock: int64(r.uint64()),
			applied: r.uint64(), beats: r.uint64(), wrote: r.uint64()}
		size := r.uint64()
		if size > maxName {
			return nil, errState
		}
		m.name = string(r.bytes(int(size)))
		f.servers = append(f.servers, m)
	}
	if r.left == nil || len(r.left) > 0 || len(f.ended) > maxEnded || half > 1 {
		return nil, errState
	}
	return f, nil
}

// A reader takes numbers off data. Once data has been too short, left is nil, and
// everything is zero.
type reader struct{ left []byte }

func (r *reader) bytes(n int) []byte {
	if n < 0 || len(r.left) < n {
		r.left = nil
		return nil
	}
	taken := r.left[:n:n]
	r.left = r.left[n:]
	return taken
}

func (r *reader) uint64() uint64 {
	if b := r.bytes(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if b := r.bytes(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// epochItem is the data of an itemEpoch.
func epochItem(epoch uint64, parts int) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(nil, epoch), uint32(parts))
}

func epochParts(data []byte) uint64 { return uint64(binary.BigEndian.Uint32(data[8:])) }
