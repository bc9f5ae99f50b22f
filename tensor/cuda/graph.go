//go:build cuda

package cuda

import (
	"hash/maphash"
	"os"
	"slices"
	"unsafe"
)

// queue is work that waits to be handed to the driver: kernels and products of cuBLASLt, as a text of words. The steps
// of a restoration ask for the same work again and again, in memory at the same addresses, since the allocator is the
// same at the start of each. So pieces of queueLength jobs that were seen before, to the last bit of their arguments,
// become graphs of CUDA, which the driver starts in one call. What differs, as a number of the step does, is handed
// over job by job.
//
// A job is the handle of its kernel, three numbers of blocks, threads, how many arguments, and each with the number of
// its words before it; or copyJob, two addresses and bytes; or productJob, the number of a plan of cuBLASLt, and four
// addresses.
type queue struct {
	text   []uint64
	jobs   int
	off    bool // no graphs: each job is handed over at once
	graphs map[uint64]*graph
	clock  int64
	seed   maphash.Seed
	starts int64 // of graphs
}

// graph is a piece of work that was seen.
type graph struct {
	text []uint64
	exec uintptr // 0: seen once
	used int64   // when, on the queue's clock
}

const (
	copyJob, productJob = 1, 2 // no handles

	queueLength = 128
	shortest    = 8   // jobs for which a graph is worth it
	mostGraphs  = 512 // those that were not used for the longest time go
)

// newQueue is a queue with graphs where the driver has them and PSLD_CUDA_GRAPHS does not turn them off.
func newQueue(d *driver) queue {
	return queue{off: !d.hasGraphs() || os.Getenv("PSLD_CUDA_GRAPHS") == "none", graphs: map[uint64]*graph{},
		seed: maphash.MakeSeed()}
}

// queued counts a job that is in the text.
func (g *gpu) queued() {
	if g.queue.jobs++; g.queue.off || g.queue.jobs >= queueLength {
		g.flush()
	}
}

// flush hands over what waits, and panics as must does.
func (g *gpu) flush() { g.must(g.handOver()) }

// handOver is flush without a panic.
func (g *gpu) handOver() *Error {
	q := &g.queue
	text, jobs := q.text, q.jobs
	q.text, q.jobs = q.text[:0], 0
	if jobs == 0 || g.lost != nil {
		return nil
	}
	if q.off || jobs < shortest {
		return g.issue(text)
	}
	key := maphash.Bytes(q.seed, unsafe.Slice((*byte)(unsafe.Pointer(&text[0])), 8*len(text)))
	q.clock++
	known := q.graphs[key]
	switch {
	case known == nil || !slices.Equal(known.text, text):
		g.forget(key)
		q.graphs[key] = &graph{text: slices.Clone(text), used: q.clock}
		g.evict()
		return g.issue(text)
	case known.exec == 0:
		if done, err := g.record(known); done || err != nil {
			return err
		}
		q.off = true // the driver makes no graph; that is no reason to stop
		return g.issue(text)
	}
	known.used = q.clock
	q.starts++
	return g.call("starting a graph", g.graphLaunch, known.exec, g.stream)
}

// record makes a graph of work and starts it. It tells whether it did; an error is one of the work itself.
func (g *gpu) record(known *graph) (done bool, failed *Error) {
	const relaxed = 2
	if g.call("cuStreamBeginCapture", g.captureBegin, g.stream, relaxed) != nil {
		return false, nil
	}
	failed = g.issue(known.text)
	var whole, exec uintptr
	err := g.call("cuStreamEndCapture", g.captureEnd, g.stream, uintptr(unsafe.Pointer(&whole)))
	if whole != 0 {
		defer g.call("cuGraphDestroy", g.graphDestroy, whole)
	}
	if failed != nil || err != nil {
		return false, failed
	}
	if g.call("cuGraphInstantiate", g.graphInstantiate, uintptr(unsafe.Pointer(&exec)), whole, 0) != nil {
		return false, nil
	}
	known.exec, known.used = exec, g.queue.clock
	g.queue.starts++
	return true, g.call("starting a graph", g.graphLaunch, exec, g.stream)
}

// forget lets a graph go.
func (g *gpu) forget(key uint64) {
	if known := g.queue.graphs[key]; known != nil && known.exec != 0 {
		g.call("cuGraphExecDestroy", g.graphExecDestroy, known.exec)
	}
	delete(g.queue.graphs, key)
}

// evict lets the eighth go that was not used for the longest time, where there are too many.
func (g *gpu) evict() {
	q := &g.queue
	if len(q.graphs) <= mostGraphs {
		return
	}
	var times []int64
	for _, known := range q.graphs {
		times = append(times, known.used)
	}
	slices.Sort(times)
	for key, known := range q.graphs {
		if known.used <= times[len(times)/8] {
			g.forget(key)
		}
	}
}

// issue hands the jobs of a text to the driver one by one.
func (g *gpu) issue(text []uint64) (err *Error) {
	for len(text) > 0 && err == nil {
		switch text[0] {
		case copyJob:
			err = g.call("a copy", g.within, uintptr(text[1]), uintptr(text[2]), uintptr(text[3]), g.stream)
			text = text[4:]
		case productJob:
			err = g.blas.issue(g, text[1:6])
			text = text[6:]
		default:
			err, text = g.start(text)
		}
	}
	return err
}

// start starts a kernel and gives the text behind it.
func (g *gpu) start(text []uint64) (*Error, []uint64) {
	job, n := text[:6], int(text[5])
	text = text[6:]
	for i := range n {
		g.params[i] = unsafe.Pointer(&text[1])
		text = text[1+text[0]:]
	}
	return g.call(g.names[uintptr(job[0])], g.launchKernel, uintptr(job[0]), uintptr(job[1]), uintptr(job[2]),
		uintptr(job[3]), uintptr(job[4]), 1, 1, 0, g.stream, uintptr(unsafe.Pointer(&g.params[0])), 0), text
}
