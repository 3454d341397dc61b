package cloud

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// grace is how long the rest of an event waits for posts that are not answered. Usually they are within 20 ms.
	grace = 200 * time.Millisecond
	// reserve is what is left of an invocation's time when it stops trying: to remove who is gone, and to log.
	reserve = 2 * time.Second

	// maxAudience is how many members one invocation posts to; for more, another one goes on.
	maxAudience = 50_000
	// maxAnswer is how long an invocation that API Gateway waits for goes through members before another one goes on:
	// it waits for 29 s.
	maxAnswer = 20 * time.Second
	// maxRests is how many invocations one publish may have: "Lambda detects and stops recursive loops after approximately 16
	// invocations". https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
	maxRests = 12
)

// A publication is messages on their way to an audience. Usually it is one.
type publication struct {
	endpoint string
	request  string   // id of the request that caused it
	topics   []string // whose members get them
	after    string   // those with ids up to this one have been seen to
	most     int      // members to post to
	rests    int      // invocations before this one
	messages []message
}

// A message is what one client says.
type message struct {
	Request string `json:"request"` // its id
	Sender  string `json:"sender"`
	Data    []byte `json:"data"`
	Mine    []byte `json:"mine,omitempty"` // what the sender gets instead; nothing if empty
}

// A rest is what is left of a publication, for another invocation.
type rest struct {
	Endpoint string    `json:"endpoint"`
	Request  string    `json:"request"`
	Topics   []string  `json:"topics"`
	After    string    `json:"after"`
	Rests    int       `json:"rests"`
	Messages []message `json:"messages"`
}

// counts says what became of posts.
type counts struct {
	delivered atomic.Int64
	units     atomic.Int64 // as which they are billed
	retried   atomic.Int64 // posts that were sent again
	gone      atomic.Int64 // connections that are no more
	refused   atomic.Int64 // 400, 403 and 413: trying again would not help
	unsure    atomic.Int64 // those of them whose first answer did not come: the client may get the message twice
	lost      atomic.Int64 // tried as long as there was time
	strayed   sync.Map     // ids of senders whose own copies were lost or refused
	slow      atomic.Int64 // clients that read too slowly
	stale     atomic.Int64 // messages that nobody posted when they should have been
	hanging   atomic.Int64 // clients that do not answer, or did not just now and were left out
	rests     atomic.Int64 // invocations that go on
}

// A delivery posts a publication to its audience.
type delivery struct {
	*publication
	handler *handler
	counts  *counts
	ctx     context.Context // ends at end
	cancel  context.CancelFunc
	end     time.Time // when to stop posting
	start   time.Time
	to      *url.URL       // the endpoint
	posting sync.WaitGroup // to everybody once
	reached string         // members with ids up to this one have been seen to
	left    leftover       // why there are others
	expired []member       // may not hear it any more

	mu    sync.Mutex
	again []recipient // to be tried again
	gone  []member
	hung  []member
	wrong error // the first answer that trying again would not help
}

// A leftover says why a delivery has not seen to its whole audience.
type leftover int

const (
	nobody  leftover = iota // it has
	tooMany                 // it may not post to more
	tooLate                 // there is no time for more
)

// deliver posts a publication to everybody in its audience once, unless there are too many for that, or no time. It began at
// start. It does not wait for those that do not answer: finish does, which must be called, also after an error.
func (h *handler) deliver(ctx context.Context, start time.Time, p *publication, count *counts) (d *delivery, err error) {
	to, err := url.Parse(p.endpoint)
	if err != nil {
		return nil, fmt.Errorf("post: %w", err)
	}
	d = &delivery{publication: p, handler: h, counts: count, start: start, end: postingTime(ctx, start, p), to: to, reached: p.after}
	d.ctx, d.cancel = context.WithDeadline(ctx, d.end)
	return d, d.first()
}

// finish tries again where that may help, and removes who is gone. It returns when all that can be done has been. What goes
// wrong with that is logged only: the message is where it should be, and what is left is found again by the next one.
func (d *delivery) finish(ctx context.Context) {
	if d == nil {
		return
	}
	defer d.cancel()
	d.posting.Wait()
	d.retry()
	h := d.handler
	removing := each(d.gone, func(m member) error { return h.registry.remove(ctx, m.id, []string{m.topic}) })
	ending := each(d.expired, func(m member) error { return h.expire(ctx, d.endpoint, d.request, m) })
	noting := each(d.hung, func(m member) error { return h.registry.noteHanging(ctx, m, time.Now().Add(h.poster.hanging.pause)) })
	if d.wrong != nil {
		h.log.Error("posts are refused", "requestId", d.request, "error", d.wrong)
	}
	if err := cmp.Or(removing, ending, noting); err != nil {
		h.log.Error("clean up", "requestId", d.request, "error", err)
	}
}

// postingTime returns until when to post: somewhat before ctx ends, and before API Gateway gives up waiting, if it waits.
func postingTime(ctx context.Context, start time.Time, p *publication) time.Time {
	end := start.Add(maxAnswer + 2*reserve)
	if len(p.topics) == 0 {
		end = end.Add(reserve) // one post has time even if those before it took all they had
	}
	if deadline, ok := ctx.Deadline(); ok && (p.rests > 0 || deadline.Add(-reserve).Before(end)) {
		end = deadline.Add(-reserve)
	}
	return end
}

// first posts to everybody once, and waits for the answers, but not for long.
func (d *delivery) first() error {
	line := make(chan recipient)
	workers := maxPosts
	if len(d.topics) == 0 {
		workers = 1
	}
	for range workers {
		d.posting.Go(func() { d.work(line) })
	}
	defer d.answered()
	defer close(line)
	senders := d.senders()
	if d.rests == 0 && d.after == "" {
		for id, own := range senders {
			if own != nil {
				line <- recipient{member: member{id: id}, bodies: own} // no newcomer: it has sent something
			}
		}
	}
	if len(d.topics) == 0 {
		return nil
	}
	bodies, n := d.bodiesFor(""), 0
	for m, err := range d.handler.registry.members(d.ctx, d.topics, d.after) {
		switch {
		case err != nil:
			return err
		case d.late():
			d.left = tooLate
			return nil
		}
		before := d.reached
		d.reached = m.id
		get := bodies
		if own, ok := senders[m.id]; ok {
			if own != nil {
				continue
			}
			get = d.bodiesFor(m.id)
		}
		switch {
		case len(get) == 0:
			continue
		case m.over(time.Now()):
			d.expired = append(d.expired, m)
			continue
		case d.handler.poster.hanging.skip(m, time.Now()):
			d.counts.hanging.Add(1)
			continue
		case n == d.most:
			d.left, d.reached = tooMany, before
			return nil
		}
		line <- recipient{member: m, bodies: get}
		n++
	}
	return nil
}

// senders returns who the messages are from, and what each gets, if it gets a copy of its own.
func (p *publication) senders() map[string][]*body {
	senders := make(map[string][]*body, len(p.messages))
	for _, m := range p.messages {
		if _, ok := senders[m.Sender]; !ok || len(m.Mine) > 0 {
			senders[m.Sender] = nil
			if len(m.Mine) > 0 {
				senders[m.Sender] = p.bodiesFor(m.Sender)
			}
		}
	}
	return senders
}

// bodiesFor returns what a client gets: the messages, each on a line of its own, in as few posts as are billed as one each.
func (p *publication) bodiesFor(id string) (bodies []*body) {
	var text []byte
	alone := true // text is one message, which may have lines of its own
	for _, m := range p.messages {
		data := m.Data
		if m.Sender == id {
			data = m.Mine
		}
		if len(data) == 0 {
			continue
		}
		if len(text) > 0 && (alone && !isLine(text) || !isLine(data) || len(text)+1+len(data) > billed) {
			bodies, text, alone = append(bodies, newBody(text)), nil, true
		}
		if len(text) > 0 {
			text, alone = append(text, '\n'), false
		}
		text = append(text, data...)
	}
	if len(text) > 0 {
		bodies = append(bodies, newBody(text))
	}
	return bodies
}

// isLine reports whether a message can share a frame with others: an object without line breaks.
func isLine(data []byte) bool {
	return len(data) > 1 && data[0] == '{' && data[len(data)-1] == '}' && bytes.IndexByte(data, '\n') < 0
}

// answered waits until all posts are answered, or only those are not that hang.
func (d *delivery) answered() {
	all := make(chan struct{})
	go func() { // finish waits for it
		d.posting.Wait()
		close(all)
	}()
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-all:
	case <-timer.C:
	}
}

// late reports whether somebody else should go on: API Gateway waits for the first invocation of a publication.
func (d *delivery) late() bool {
	return d.rests == 0 && time.Since(d.start) > maxAnswer || time.Until(d.end) < reserve
}

// handOver lets another invocation go on after an id.
func (h *handler) handOver(ctx context.Context, p *publication, last string, count *counts) error {
	if p.rests == maxRests {
		return fmt.Errorf("the audience is too large: nobody after %s is reached", last)
	}
	payload, err := json.Marshal(event{Rest: &rest{
		Endpoint: p.endpoint, Request: p.request, Topics: p.topics, After: last, Rests: p.rests + 1, Messages: p.messages,
	}})
	if err == nil {
		err = h.again.start(ctx, payload)
	}
	if err != nil {
		return fmt.Errorf("go on after %s in another invocation: %w", last, err)
	}
	count.rests.Add(1)
	return nil
}

// status of a post that got none.
const noAnswer = 0

// isFinal reports whether trying again would not help.
func isFinal(status int) bool {
	return status == http.StatusBadRequest || status == http.StatusForbidden || status == http.StatusRequestEntityTooLarge
}

// each does something about all of a list, for a few at a time. It returns an
// error of one of them.
func each(list []member, do func(member) error) error {
	line, failed := make(chan member), make(chan error, 1)
	var doing sync.WaitGroup
	for range min(16, len(list)) {
		doing.Go(func() {
			for m := range line {
				if err := do(m); err != nil {
					select {
					case failed <- err:
					default:
					}
				}
			}
		})
	}
	for _, m := range list {
		line <- m
	}
	close(line)
	doing.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}
