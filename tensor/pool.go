package tensor

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// Pool runs the parts of an operation on a fixed number of workers, of which the caller is one.
//
// Which worker runs which part is fixed by the numbers of parts and workers alone, and an
// operation whose result depends on how it is cut (a sum over rows, say) is cut by the size of
// the problem, never by the number of workers. Together the two give the same bits for every
// number of workers.
//
// The other workers are goroutines that live as long as the pool: they watch for work for some
// ten microseconds after the last, then sleep. They end with [Pool.Close], or when the pool is
// garbage. A pool may be used by several goroutines at once and from within a part; while it is busy
// a second operation runs in its caller alone, part by part.
type Pool struct {
	workers int
	crew    *crew // nil for one worker
}

// NewPool returns a pool with n workers; n <= 0 means GOMAXPROCS.
func NewPool(n int) *Pool {
	if n <= 0 {
		n = runtime.GOMAXPROCS(0)
	}
	p := &Pool{workers: n}
	if n > 1 {
		p.crew = &crew{helpers: make([]helper, n-1), finished: make(chan struct{}, 1)}
		runtime.AddCleanup(p, (*crew).close, p.crew)
	}
	return p
}

// Workers returns the number of workers.
func (p *Pool) Workers() int { return p.workers }

// Close ends the goroutines of the pool. The pool can still be used, with the caller as its only
// worker. Close waits for an operation that is running.
func (p *Pool) Close() {
	if p.crew != nil {
		p.crew.close()
	}
}

// Do calls f(worker, part) for every part in [0, parts), each worker a contiguous share in order.
// worker, in [0, Workers()), is for scratch storage. A panic in a part is raised again in the
// caller once all parts have ended.
func (p *Pool) Do(parts int, f func(worker, part int)) {
	w := min(p.workers, parts)
	if w <= 1 {
		for i := range parts {
			f(0, i)
		}
		return
	}
	p.crew.do(job{workers: w, parts: parts, do: f})
}

// Range cuts [0, n) into one contiguous range a worker, each a multiple of grain except the last,
// and calls f on each. Use it only where the result does not depend on the cut.
func (p *Pool) Range(n, grain int, f func(lo, hi int)) {
	blocks := (n + grain - 1) / grain
	w := min(p.workers, blocks)
	if w <= 1 {
		if n > 0 {
			f(0, n)
		}
		return
	}
	p.crew.do(job{workers: w, parts: blocks, span: f, n: n, grain: grain})
}

// job is one operation: do for Do, span for Range.
type job struct {
	workers, parts int
	do             func(worker, part int)
	span           func(lo, hi int)
	n, grain       int
}

// run does the share of worker k.
func (j *job) run(k int) {
	lo, hi := k*j.parts/j.workers, (k+1)*j.parts/j.workers
	if j.span != nil {
		j.span(lo*j.grain, min(j.n, hi*j.grain))
		return
	}
	for i := lo; i < hi; i++ {
		j.do(k, i)
	}
}

// crew is what the goroutines of a pool share. They hold no pointer to the Pool, so that it can
// become garbage.
//
// The protocol. Each helper has a state word: idle (it watches the word), working (a job was
// posted), asleep (it waits on its channel), gone. The caller, who holds the lock, writes the job,
// then swaps every helper's state to working, and wakes it if it was asleep. A helper that sees
// working sets it back to idle, does its share, and counts itself off pending; the last one
// does with the caller's word done what the caller does with the helpers' words. The atomic
// operations order the plain writes of the job and of the results.
type crew struct {
	lock     sync.Mutex // held by the caller of do
	started  bool
	closed   bool
	job      job
	helpers  []helper
	pending  atomic.Int32  // helpers that have not finished
	done     atomic.Uint32 // idle, working (here: all have finished) or asleep
	finished chan struct{}

	failure sync.Mutex
	failed  any // first panic of a part
}

type helper struct {
	state atomic.Uint32
	wake  chan struct{}
	_     [48]byte // a cache line of its own
}

const (
	idle uint32 = iota
	working
	asleep
	gone
)

// do runs j on the helpers and the caller.
func (c *crew) do(j job) {
	if !c.lock.TryLock() {
		for k := range j.workers {
			j.run(k)
		}
		return
	}
	defer c.lock.Unlock()
	if c.closed {
		for k := range j.workers {
			j.run(k)
		}
		return
	}
	if !c.started {
		c.started = true
		for k := range c.helpers {
			c.helpers[k].wake = make(chan struct{}, 1)
			go c.help(k)
		}
	}
	c.job = j
	c.pending.Store(int32(j.workers - 1))
	c.done.Store(idle)
	for k := range j.workers - 1 {
		c.helpers[k].post(working)
	}
	c.share(0)
	if !await(&c.done) {
		<-c.finished
	}
	c.job = job{}
	if f := c.failed; f != nil {
		c.failed = nil
		panic(f)
	}
}

// post sets the state of h, which is idle or asleep, and wakes it.
func (h *helper) post(state uint32) {
	if h.state.Swap(state) == asleep {
		h.wake <- struct{}{}
	}
}

// help is the life of helper k.
func (c *crew) help(k int) {
	h := &c.helpers[k]
	for {
		if !await(&h.state) {
			<-h.wake
		}
		if h.state.Load() == gone {
			return
		}
		h.state.Store(idle)
		c.share(k + 1)
		if c.pending.Add(-1) == 0 && c.done.Swap(working) == asleep {
			c.finished <- struct{}{}
		}
	}
}

// share does the share of worker k of the job and keeps a panic.
func (c *crew) share(k int) {
	defer func() {
		if r := recover(); r != nil {
			p, ok := r.(workerPanic)
			if !ok {
				p = workerPanic{r, debug.Stack()}
			}
			c.failure.Lock()
			if c.failed == nil {
				c.failed = p
			}
			c.failure.Unlock()
		}
	}()
	c.job.run(k)
}

func (c *crew) close() {
	c.lock.Lock()
	defer c.lock.Unlock()
	if c.started && !c.closed {
		for k := range c.helpers {
			c.helpers[k].post(gone)
		}
	}
	c.closed = true
}

// How long await watches: yields × looks ≈ 20 µs, unless there is other work for the processor.
const (
	yields = 100
	looks  = 100
)

// await watches the word until it is no longer idle. If that takes long it sets the word to asleep and
// returns false: the caller must wait on its channel.
func await(word *atomic.Uint32) bool {
	for range yields {
		for range looks {
			if word.Load() != idle {
				return true
			}
		}
		runtime.Gosched()
	}
	return !word.CompareAndSwap(idle, asleep)
}

// workerPanic carries a panic from a worker to the caller, with the worker's stack.
type workerPanic struct {
	value any
	stack []byte
}

func (p workerPanic) Error() string { return fmt.Sprintf("%v\n\nin worker:\n%s", p.value, p.stack) }
