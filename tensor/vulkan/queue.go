//go:build vulkan

package vulkan

import (
	"time"
	"unsafe"
)

// batchSize is how many dispatches are submitted together: enough to pay for the submission, few enough that the
// device starts while the rest is still being recorded.
const batchSize = 64

// batch is a command buffer and what it holds until the device has done it.
type batch struct {
	commands uintptr
	fence    uint64
	running  bool // submitted, and not waited for
	count    int  // commands recorded
	staging  []piece
	queries  uint64   // a pool of two time stamps for each dispatch
	names    []string // of the dispatches that were stamped
}

// queue records commands, one batch after the other in a ring, in the order of the calls.
type queue struct {
	handle  uintptr
	pool    uint64
	ring    [4]batch
	at      int // the batch that is being recorded
	open    bool
	touched []touch // since the last barrier
}

// touch is a use of memory by a recorded command.
type touch struct {
	piece
	write bool
}

func (t touch) conflicts(u touch) bool {
	return t.block == u.block && (t.write || u.write) && t.at < u.at+u.size && u.at < t.at+t.size
}

func (d *Device) newQueue() error {
	q := &d.queue
	d.GetDeviceQueue.call(d.handle, uintptr(d.physical.family), 0, uintptr(ref(&q.handle)))
	const reset = 2
	info := &commandPoolCreateInfo{sType: typeCommandPoolCreateInfo, flags: reset,
		queueFamilyIndex: uint32(d.physical.family)}
	r := d.CreateCommandPool.call(d.handle, uintptr(ref(info)), 0, uintptr(ref(&q.pool)))
	if err := r.check("command pool"); err != nil {
		return err
	}
	ask := &commandBufferAllocateInfo{sType: typeCommandBufferInfo, commandPool: q.pool,
		commandBufferCount: uint32(len(q.ring))}
	var buffers [len(q.ring)]uintptr
	r = d.AllocateCommandBuffers.call(d.handle, uintptr(ref(ask)), uintptr(ref(&buffers)))
	if err := r.check("command buffers"); err != nil {
		return err
	}
	for i := range q.ring {
		b := &q.ring[i]
		b.commands = buffers[i]
		fence := &fenceCreateInfo{sType: typeFenceCreateInfo}
		if err := d.CreateFence.call(d.handle, uintptr(ref(fence)), 0, uintptr(ref(&b.fence))).check("fence"); err != nil {
			return err
		}
	}
	return nil
}

// begin gives the batch to record into.
func (d *Device) begin() *batch {
	q := &d.queue
	b := &q.ring[q.at]
	if !q.open {
		d.wait(b)
		const once = 1
		info := &commandBufferBeginInfo{sType: typeCommandBufferBeginInfo, flags: once}
		d.must(d.BeginCommandBuffer.call(b.commands, uintptr(ref(info))), "recording")
		if d.profile != nil {
			d.resetQueries(b)
		}
		q.open, b.count, q.touched = true, 0, q.touched[:0]
		d.barrier(b) // on what the batches before did
	}
	return b
}

// uses records that the next command reads and writes memory, with a barrier before it where it depends on one since
// the last barrier.
func (d *Device) uses(b *batch, list []touch) {
	q := &d.queue
	for _, t := range list {
		for _, u := range q.touched {
			if t.conflicts(u) {
				d.barrier(b)
				break
			}
		}
	}
	if len(q.touched) > 64 {
		d.barrier(b)
	}
	q.touched = append(q.touched, list...)
}

// Stages and accesses of barriers.
const (
	stageTop, stageCompute, stageTransfer, stageBottom, stageHost = 1, 0x800, 0x1000, 0x2000, 0x4000

	shaderRead, shaderWrite, transferRead, transferWrite, hostRead = 0x20, 0x40, 0x800, 0x1000, 0x2000
)

// barrier lets what comes after it see what was before it.
func (d *Device) barrier(b *batch) {
	m := &memoryBarrier{sType: typeMemoryBarrier, srcAccessMask: shaderWrite | transferWrite,
		dstAccessMask: shaderRead | shaderWrite | transferRead | transferWrite}
	const stages = stageCompute | stageTransfer
	d.CmdPipelineBarrier.call(b.commands, stages, stages, 0, 1, uintptr(ref(m)), 0, 0, 0, 0)
	d.queue.touched = d.queue.touched[:0]
}

// toHost lets the host see what was before it, when the batch is done.
func (d *Device) toHost(b *batch) {
	m := &memoryBarrier{sType: typeMemoryBarrier, srcAccessMask: shaderWrite | transferWrite, dstAccessMask: hostRead}
	d.CmdPipelineBarrier.call(b.commands, stageCompute|stageTransfer, stageHost, 0, 1, uintptr(ref(m)), 0, 0, 0, 0)
}

// recorded counts a command, and submits a batch that is full.
func (d *Device) recorded(b *batch) {
	if b.count++; b.count >= batchSize {
		d.submit()
	}
}

// submit hands the batch under way to the device.
func (d *Device) submit() {
	q := &d.queue
	if !q.open {
		return
	}
	b := &q.ring[q.at]
	d.must(d.EndCommandBuffer.call(b.commands), "recording")
	info := &submitInfo{sType: typeSubmitInfo, commandBufferCount: 1, pCommandBuffers: unsafe.Pointer(&b.commands)}
	q.open = false
	r := d.fault
	if r == success {
		r = d.QueueSubmit.call(q.handle, 1, uintptr(ref(info)), uintptr(b.fence))
	}
	d.must(r, "submitting work")
	b.running = true
	q.at = (q.at + 1) % len(q.ring)
}

// wait returns when the batch is done, and takes back what it held.
func (d *Device) wait(b *batch) {
	if !b.running {
		return
	}
	const forever = ^uint64(0)
	r := result(timeout)
	for r == timeout {
		r = d.WaitForFences.call(d.handle, 1, uintptr(ref(&b.fence)), 1, uintptr(forever))
	}
	b.running = false
	d.must(r, "waiting for the device")
	d.must(d.ResetFences.call(d.handle, 1, uintptr(ref(&b.fence))), "fence")
	for _, p := range b.staging {
		d.staging.put(p)
	}
	b.staging = b.staging[:0]
	d.readQueries(b)
}

// finish returns when all that was recorded is done.
func (d *Device) finish() {
	d.submit()
	for i := range d.queue.ring { // from the oldest on
		d.wait(&d.queue.ring[(d.queue.at+i)%len(d.queue.ring)])
	}
	d.keepPipelines()
}

// copy records a copy of size bytes.
func (d *Device) copy(to, from piece, size uint64) {
	b := d.begin()
	d.uses(b, []touch{{to, true}, {from, false}})
	region := &bufferCopy{from.at, to.at, size}
	d.CmdCopyBuffer.call(b.commands, uintptr(from.buffer), uintptr(to.buffer), 1, uintptr(ref(region)))
	d.recorded(b)
}

// upload records the writing of data, which may change afterwards.
func (d *Device) upload(to piece, data []byte) {
	if len(data) == 0 {
		return
	}
	const inline = 64 << 10 // the limit of vkCmdUpdateBuffer
	if len(data) <= inline {
		b := d.begin()
		d.uses(b, []touch{{to, true}})
		d.CmdUpdateBuffer.call(b.commands, uintptr(to.buffer), uintptr(to.at), uintptr(len(data)), uintptr(ref(&data[0])))
		d.recorded(b)
		return
	}
	from := d.stage(uint64(len(data)))
	copy(from.bytes(), data)
	b := d.begin()
	b.staging = append(b.staging, from) // before the copy, which may submit
	d.copy(to, from, uint64(len(data)))
}

// download copies memory to the host, after all that was recorded.
func (d *Device) download(data []byte, from piece) {
	if len(data) == 0 {
		return
	}
	if from.mapped != nil && !d.copies {
		d.toHost(d.begin())
		d.finish()
		copy(data, from.bytes())
		return
	}
	to := d.stage(uint64(len(data)))
	defer d.staging.put(to)
	d.copy(to, from, uint64(len(data)))
	d.toHost(d.begin())
	d.finish()
	copy(data, to.bytes())
}

// stage finds memory that both sides see.
func (d *Device) stage(size uint64) piece {
	p, ok := d.staging.get(size)
	if !ok {
		d.finish()
		if p, ok = d.staging.get(size); !ok {
			panic(d.outOfMemory(size))
		}
	}
	return p
}

// queryCount is two for each dispatch of a batch.
const queryCount = 2 * batchSize

func (d *Device) resetQueries(b *batch) {
	if b.queries == 0 {
		const timestamp = 2
		info := &queryPoolCreateInfo{sType: typeQueryPoolCreateInfo, queryType: timestamp, queryCount: queryCount}
		d.must(d.CreateQueryPool.call(d.handle, uintptr(ref(info)), 0, uintptr(ref(&b.queries))), "query pool")
	}
	d.CmdResetQueryPool.call(b.commands, uintptr(b.queries), 0, queryCount)
	b.names = b.names[:0]
}

// stamp records the time before and after a dispatch, where somebody profiles.
func (d *Device) stamp(b *batch, name string, dispatch func()) {
	if d.profile == nil || b.queries == 0 || len(b.names) >= batchSize {
		dispatch()
		return
	}
	d.barrier(b) // no other dispatch beside it
	n := uintptr(2 * len(b.names))
	d.CmdWriteTimestamp.call(b.commands, stageBottom, uintptr(b.queries), n)
	dispatch()
	d.CmdWriteTimestamp.call(b.commands, stageBottom, uintptr(b.queries), n+1)
	b.names = append(b.names, name)
}

// readQueries adds the times of a batch that is done to the profile.
func (d *Device) readQueries(b *batch) {
	if d.profile == nil || len(b.names) == 0 {
		return
	}
	var ticks [queryCount]uint64
	const wide, wait = 1, 2
	n := uintptr(2 * len(b.names))
	r := d.GetQueryPoolResults.call(d.handle, uintptr(b.queries), 0, n, n*8, uintptr(ref(&ticks)), 8, wide|wait)
	d.must(r, "time stamps")
	for i, name := range b.names {
		k := d.profile[name]
		took := float64(ticks[2*i+1]-ticks[2*i]) * float64(d.physical.properties.limits.timestampPeriod)
		d.profile[name] = Kernel{name, k.Calls + 1, k.Time + time.Duration(took)}
	}
	b.names = b.names[:0]
}

// Kernel is what a profile knows of one kernel.
type Kernel struct {
	Name  string
	Calls int
	Time  time.Duration // of all calls, on the device's clock
}
