package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// What the log is called in NATS. The stream has one subject, because only then
// is the order in which messages are republished that of their numbers.
const (
	streamName  = "crier"
	logSubject  = "crier.log"
	liveSubject = "crier.live" // messages of the log, once they are stored
	askSubject  = "crier.ask"
)

const (
	// patience is how long the leader of the stream may take for an answer.
	// It is longer than a disk takes, and shorter than an election.
	patience = 2 * time.Second
	// again is how long a request waits if nobody answers such requests at the
	// moment, as in an election.
	again = 50 * time.Millisecond
	// probing is how often a leader is asked whether it is there again.
	probing = 500 * time.Millisecond
	// sureMissing is how many answers in a row say that there is no stream,
	// before it is made anew.
	sureMissing = 4
	// headerRoom is for what NATS stores beside the data of a message.
	headerRoom = 1 << 10
	// liveBytes and liveMessages bound what is republished and not yet
	// delivered. What is beyond is loaded later.
	liveBytes    = 64 << 20
	liveMessages = 64 << 10
	// answering is how many questions are answered at the same time.
	answering = 256
	// loadBytes and loadMessages bound what a Load asks for.
	loadBytes    = 4 << 20
	loadMessages = 256
	// freshMessages is how many messages a Load gets from the leader, which
	// is asked for one at a time.
	freshMessages = 16
)

// Numbers of errors of JetStream.
const (
	jsNoPeers        = 10005
	jsNoLeader       = 10008
	jsNoMessage      = 10037
	jsNotForAccount  = 10039
	jsStreamNotFound = 10059
	jsOverlap        = 10065
	jsWrongLast      = 10071 // and the number
	jsNoReplicas     = 10074
	jsNotEnabled     = 10076
	jsWrongLastPlain = 10164
)

// A jetStream is the backend over a connection to NATS, whoever runs it.
type jetStream struct {
	// Set once.
	conn      *nats.Conn
	log       *slog.Logger
	callbacks callbacks
	reach     func() bool // whether a majority of NATS's servers is in reach
	stop      func()      // ends what the connection needs

	silent atomic.Bool // the last request to the leader had no answer, or there is no stream
	shape  shape       // of the stream; set by open

	ctx    context.Context // done when Close begins
	cancel context.CancelFunc
	work   sync.WaitGroup // listens, and answers questions
}

// newJetStream returns a backend that listens to nothing yet. The backend closes
// the connection, and calls stop then.
func newJetStream(conn *nats.Conn, log *slog.Logger, cb callbacks, reach func() bool, stop func()) *jetStream {
	j := &jetStream{conn: conn, log: log, callbacks: cb, reach: reach, stop: stop}
	j.ctx, j.cancel = context.WithCancel(context.Background())
	conn.SetErrorHandler(j.explain)
	return j
}

// explain logs what NATS reports besides what it answers.
func (j *jetStream) explain(_ *nats.Conn, _ *nats.Subscription, err error) {
	switch {
	case errors.Is(err, nats.ErrPermissionViolation):
		j.log.Warn("NATS denies what the log needs: " + err.Error())
	case errors.Is(err, nats.ErrSlowConsumer):
		j.log.Debug("Batches come faster than they are applied; they are loaded later")
	default:
		j.log.Debug("NATS reports an error", "error", err)
	}
}

// Store stores a message and returns its number.
func (j *jetStream) Store(ctx context.Context, data []byte, expect int64) (uint64, error) {
	m := nats.NewMsg(logSubject)
	m.Data = data
	if expect != anyLast {
		m.Header.Set(nats.ExpectedLastSeqHdr, strconv.FormatInt(expect, 10))
	}
	var ack struct {
		Seq uint64 `json:"seq"`
	}
	err := j.request(ctx, m, &ack)
	if code(err) == jsWrongLast || code(err) == jsWrongLastPlain {
		return 0, errNotLast
	}
	if err != nil {
		return 0, fmt.Errorf("store a batch: %w", err)
	}
	return ack.Seq, nil
}

// Bounds returns the numbers of the first and of the last message.
func (j *jetStream) Bounds(ctx context.Context) (first, last uint64, err error) {
	var info nats.StreamInfo
	if err := j.api(ctx, "STREAM.INFO", nil, &info); err != nil {
		return 0, 0, fmt.Errorf("ask how far the log goes: %w", err)
	}
	s := info.State
	if s.Msgs == 0 {
		return s.LastSeq + 1, s.LastSeq, nil
	}
	return s.FirstSeq, s.LastSeq, nil
}

// Purge removes the messages before that number, or everything.
func (j *jetStream) Purge(ctx context.Context, before uint64) error {
	switch before {
	case everything:
		return j.remake(ctx)
	case 1:
		return nil
	}
	if err := j.api(ctx, "STREAM.PURGE", &struct {
		Seq uint64 `json:"seq"`
	}{before}, nil); err != nil {
		return fmt.Errorf("remove the log's old batches: %w", err)
	}
	return nil
}

// remake makes the stream anew. If it only lost its messages, servers of NATS that
// have different ones would keep them.
func (j *jetStream) remake(ctx context.Context) error {
	err := j.api(ctx, "STREAM.DELETE", nil, nil)
	if err == nil || code(err) == jsStreamNotFound {
		err = j.createAnew(ctx)
	}
	if err != nil {
		return fmt.Errorf("make the log's stream anew: %w", err)
	}
	return nil
}

// createAnew creates the stream as it was.
func (j *jetStream) createAnew(ctx context.Context) error {
	s := j.shape // create may change it
	return j.create(ctx, &s)
}

// api asks JetStream for something about the stream.
func (j *jetStream) api(ctx context.Context, name string, question, answer any) error {
	m := nats.NewMsg("$JS.API." + name + "." + streamName)
	if question != nil {
		data, err := json.Marshal(question)
		if err != nil {
			return err
		}
		m.Data = data
	}
	return j.request(ctx, m, answer)
}

// request asks the leader of the stream. The answer is decoded into answer, if
// that is not nil. An error of JetStream is a *nats.APIError.
func (j *jetStream) request(ctx context.Context, m *nats.Msg, answer any) error {
	raw, err := j.exchange(ctx, m)
	if err == nil {
		err = decode(raw.Data, answer)
	}
	if ctx.Err() == nil {
		n := code(err)
		j.silent.Store(err != nil && (n == 0 || n == jsNoLeader || n == jsStreamNotFound))
	}
	return err
}

func decode(data []byte, answer any) error {
	var failed struct {
		Error *nats.APIError `json:"error"`
	}
	err := json.Unmarshal(data, &failed)
	if err == nil && failed.Error != nil {
		return failed.Error
	}
	if err == nil && answer != nil {
		err = json.Unmarshal(data, answer)
	}
	if err != nil {
		return fmt.Errorf("read the answer of JetStream: %w", err)
	}
	return nil
}

// code returns the number of an error of JetStream, or 0 for other errors.
func code(err error) nats.ErrorCode {
	if e, ok := errors.AsType[*nats.APIError](err); ok {
		return e.ErrorCode
	}
	return 0
}

// exchange returns the answer to a question. It does not ask again if there is
// none, because the question may have been carried out; but it does if there was
// nobody who could have got it.
func (j *jetStream) exchange(parent context.Context, m *nats.Msg) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(parent, patience)
	defer cancel()
	var answer *nats.Msg
	var err error
	for {
		answer, err = j.conn.RequestMsgWithContext(ctx, m)
		if !errors.Is(err, nats.ErrNoResponders) || !sleep(ctx, again) {
			break
		}
	}
	if errors.Is(err, context.DeadlineExceeded) && parent.Err() == nil {
		if denied := j.denied(); denied != nil {
			return nil, denied
		}
		return nil, errSilent
	}
	return answer, err
}

// denied returns what NATS has denied last. NATS does not say to which request
// that belongs: the request just has no answer.
func (j *jetStream) denied() error {
	if err := j.conn.LastError(); errors.Is(err, nats.ErrPermissionViolation) {
		return err
	}
	return nil
}

var errSilent = fmt.Errorf("NATS has not answered within %v", patience)

// sleep reports whether ctx is not done before that time has passed.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// Health says how far this server reaches. Whether the stream has a leader is
// known from its answers.
func (j *jetStream) Health() health {
	switch {
	case !j.conn.IsConnected() || !j.reach():
		return isolated
	case j.silent.Load():
		return leaderless
	}
	return fine
}

// probe asks a leader that did not answer whether it does now, until Close. As
// long as it answers, the log asks it often enough. If there is no stream any more,
// because somebody has removed it, or NATS has lost what it stored, probe makes one.
func (j *jetStream) probe() {
	missing := 0
	for sleep(j.ctx, probing) {
		if !j.silent.Load() || !j.conn.IsConnected() {
			missing = 0
			continue
		}
		_, _, err := j.Bounds(j.ctx)
		if code(err) != jsStreamNotFound {
			missing = 0
			continue
		}
		if missing++; missing < sureMissing {
			continue
		}
		missing = 0
		j.log.Warn("NATS has lost the log's stream; it is made anew")
		if err := j.createAnew(j.ctx); err != nil {
			j.log.Debug("The log's stream could not be made", "error", err)
		}
	}
}
