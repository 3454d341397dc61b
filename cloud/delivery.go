package cloud

import (
	"cmp"
	"context"
	crand "crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// firstWait and maxWait bound the pauses before something is tried again; each is up to twice as long as the last.
	firstWait = 50 * time.Millisecond
	maxWait   = 2 * time.Second
	// maxTries is how often a post is tried.
	maxTries = 8
	// newcomer is the age up to which 410 may mean that a handshake is not finished.
	newcomer = 15 * time.Second
	// maxSlow is how many recipients of a message may be taken for slow readers.
	maxSlow = 10
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

// A publication is a message on its way to an audience.
type publication struct {
	endpoint string
	request  string   // id of the request that caused it
	topics   []string // whose members get data
	after    string   // those with ids up to this one have been seen to
	rests    int      // invocations before this one
	data     []byte
	sender   string
	mine     []byte // what the sender gets instead; nothing if empty
}

// A rest is what is left of a publication, for another invocation.
type rest struct {
	Endpoint string   `json:"endpoint"`
	Request  string   `json:"request"`
	Topics   []string `json:"topics"`
	After    string   `json:"after"`
	Rests    int      `json:"rests"`
	Data     []byte   `json:"data"`
	Sender   string   `json:"sender"`
}

// counts says what became of posts.
type counts struct {
	delivered atomic.Int64
	retried   atomic.Int64 // posts that were tried again
	gone      atomic.Int64 // connections that are no more
	refused   atomic.Int64 // 400, 403 and 413: trying again would not help
	lost      atomic.Int64 // tried as long as there was time
	rests     atomic.Int64 // invocations that go on
}

// goOn continues a publication.
func (h *handler) goOn(ctx context.Context, r *rest) error {
	start := time.Now()
	if first, err := h.registry.claim(ctx, r.Request+"#"+r.After, crand.Text()); err != nil || !first {
		h.reportClaim(r, err)
		return err
	}
	var count counts
	err := h.deliver(ctx, start, &publication{
		endpoint: r.Endpoint, request: r.Request, topics: r.Topics, after: r.After, rests: r.Rests, data: r.Data, sender: r.Sender,
	}, &count)
	h.reportMessage(r.Request, r.Sender, start, len(r.Data), &count, err)
	return err
}

// A recipient is somebody to post to.
type recipient struct {
	member
	body      *body
	tries     int
	throttled bool // the last time
}

// A delivery posts a publication to its audience.
type delivery struct {
	*publication
	handler *handler
	counts  *counts
	ctx     context.Context
	to      *url.URL // the endpoint

	expired []member // may not hear it any more

	mu    sync.Mutex
	again []recipient // to be tried again
	gone  []member
	wrong error // the first answer that trying again would not help
}

// deliver posts a publication to its audience and returns when all that can be done has been. It began at start.
func (h *handler) deliver(ctx context.Context, start time.Time, p *publication, count *counts) error {
	to, err := url.Parse(p.endpoint)
	if err != nil {
		return fmt.Errorf("post: %w", err)
	}
	posting, cancel := context.WithDeadline(ctx, postingTime(ctx, start, p))
	defer cancel()
	d := &delivery{publication: p, handler: h, counts: count, ctx: posting, to: to}
	last, err := d.first(start)
	if err == nil && last != "" {
		err = d.handOver(last)
	}
	d.retry()
	removing := each(d.gone, func(m member) error { return h.registry.remove(ctx, m.id, []string{m.topic}) })
	ending := each(d.expired, func(m member) error { return h.expire(ctx, start, p.endpoint, p.request, m) })
	if err == nil {
		err = cmp.Or(removing, ending)
	}
	if err == nil && d.wrong != nil {
		h.log.Error("posts are refused", "requestId", p.request, "error", d.wrong)
	}
	return err
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

// first posts to everybody once. If there is no time for all, it returns the last id that was seen to.
func (d *delivery) first(start time.Time) (last string, err error) {
	line := make(chan recipient)
	var posting sync.WaitGroup
	for range maxPosts {
		posting.Go(func() { d.work(line) })
	}
	defer posting.Wait()
	defer close(line)
	if len(d.mine) > 0 {
		line <- recipient{member: member{id: d.sender}, body: newBody(d.mine)} // no newcomer: it has sent something
	}
	if len(d.topics) == 0 {
		return "", nil
	}
	b, n := newBody(d.data), 0
	for m, err := range d.handler.registry.members(d.ctx, d.topics, d.after) {
		if err != nil {
			return "", err
		}
		if n == d.handler.audience || d.late(start) {
			return last, nil
		}
		last = m.id
		if m.id == d.sender {
			continue
		}
		if m.over(start) {
			d.expired = append(d.expired, m)
			continue
		}
		line <- recipient{member: m, body: b}
		n++
	}
	return "", nil
}

// late reports whether somebody else should go on: API Gateway waits for the first invocation of a publication.
func (d *delivery) late(start time.Time) bool {
	if d.ctx.Err() != nil {
		return true
	}
	deadline, ok := d.ctx.Deadline()
	return d.rests == 0 && time.Since(start) > maxAnswer || ok && time.Until(deadline) < reserve
}

// work posts to who is in the line. Throttling slows it down.
func (d *delivery) work(line <-chan recipient) {
	wait := time.Duration(0)
	for r := range line {
		if wait > 0 {
			pause(d.ctx, rand.N(wait))
		}
		if d.post(r) == http.StatusTooManyRequests {
			wait = min(max(2*wait, firstWait), maxWait)
		} else {
			wait = 0
		}
	}
}

// post posts to one recipient and notes what becomes of it.
func (d *delivery) post(r recipient) (status int) {
	poster, timeout := d.handler.poster, postTimeout
	suspect := poster.suspects.has(r.id)
	if suspect {
		timeout = suspectTimeout
	}
	status, err := poster.post(d.ctx, timeout, d.to, r.id, r.body)
	if err != nil {
		d.handler.log.Debug("post", "connectionId", r.id, "error", err)
	}
	hangs := errors.Is(err, os.ErrDeadlineExceeded) && d.ctx.Err() == nil
	switch {
	case hangs && !suspect:
		poster.suspects.add(r.id)
	case status == http.StatusOK && suspect:
		poster.suspects.remove(r.id)
	}
	switch {
	case hangs && suspect: // whoever waits for the others should not wait for it
		d.counts.lost.Add(1)
	case status == http.StatusOK:
		d.counts.delivered.Add(1)
		return status
	case status == http.StatusGone && time.Until(r.expires) < lifetime-newcomer:
		d.counts.gone.Add(1)
		d.note(func() { d.gone = append(d.gone, r.member) })
	case status == http.StatusBadRequest, status == http.StatusForbidden, status == http.StatusRequestEntityTooLarge:
		d.counts.refused.Add(1)
		d.note(func() {
			if d.wrong == nil {
				d.wrong = fmt.Errorf("post to %s: status %d", r.id, status)
			}
		})
	default: // throttled, a mistake of theirs, the network, or a handshake that is not finished
		r.tries++
		r.throttled = status == http.StatusTooManyRequests
		if suspect && r.tries == suspectTries {
			d.counts.lost.Add(1)
			return status
		}
		d.note(func() { d.again = append(d.again, r) })
	}
	return status
}

func (d *delivery) note(what func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	what()
}

// retry tries again what failed, in rounds, so that those who answer do not wait for those who do not.
func (d *delivery) retry() {
	wait := firstWait
	for try := 2; try <= maxTries && len(d.again) > 0; try++ {
		if pause(d.ctx, wait/2+rand.N(wait/2)) != nil {
			break
		}
		wait = min(2*wait, maxWait)
		round := d.again
		d.again = nil
		d.counts.retried.Add(int64(len(round)))
		line := make(chan recipient)
		var posting sync.WaitGroup
		for range min(maxPosts, len(round)) {
			posting.Go(func() { d.work(line) })
		}
		for _, r := range round {
			line <- r
		}
		close(line)
		posting.Wait()
	}
	d.counts.lost.Add(int64(len(d.again)))
	// Where most hear and few are throttled, it is these that read too slowly, and not API Gateway that has too much to do.
	if few := len(d.again) <= maxSlow && d.counts.delivered.Load() > int64(len(d.again)); few {
		for _, r := range d.again {
			if r.throttled {
				d.handler.poster.suspects.add(r.id)
			}
		}
	}
}

// handOver has another invocation go on behind an id.
func (d *delivery) handOver(last string) error {
	if d.rests == maxRests {
		return fmt.Errorf("the audience is too large: nobody behind %s is reached", last)
	}
	payload, err := json.Marshal(event{Rest: &rest{
		Endpoint: d.endpoint, Request: d.request, Topics: d.topics, After: last, Rests: d.rests + 1, Data: d.data, Sender: d.sender,
	}})
	if err == nil {
		err = d.handler.again.start(d.ctx, payload)
	}
	if err != nil {
		return fmt.Errorf("go on behind %s in another invocation: %w", last, err)
	}
	d.counts.rests.Add(1)
	return nil
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
