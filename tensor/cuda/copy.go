//go:build cuda

package cuda

import (
	"runtime"
	"unsafe"
)

// staging is memory of the host that the GPU reads by itself. What is small goes there, and the copy to the GPU
// waits for nothing; each part is used again when the ones behind it have been used and the stream has been waited
// for.
type staging struct {
	addr uintptr
	next int
}

const stagingSize = 1 << 20

// room returns n bytes.
func (s *staging) room(g *gpu, n int) uintptr {
	if s.addr == 0 {
		g.must(g.call("cuMemAllocHost", g.allocHost, uintptr(unsafe.Pointer(&s.addr)), stagingSize))
	}
	if s.next+n > stagingSize {
		g.sync()
		s.next = 0
	}
	at := s.addr + uintptr(s.next)
	s.next += (n + 63) / 64 * 64
	return at
}

func (s *staging) free(g *gpu) {
	if s.addr != 0 {
		g.call("cuMemFreeHost", g.freeHost, s.addr)
		s.addr = 0
	}
}

// upload copies elements to the GPU's memory. They may be changed afterwards.
func upload[T float32 | int32](g *gpu, to uint64, data []T) {
	if len(data) == 0 {
		return
	}
	g.flush()
	n := len(data) * int(unsafe.Sizeof(data[0]))
	if n <= stagingSize/16 {
		at := g.staging.room(g, n)
		copy(unsafe.Slice(pointer[T](at), len(data)), data)
		g.must(g.call("copying to "+g.deviceName(), g.toDevice, uintptr(to), at, uintptr(n), g.stream))
		return
	}
	g.must(g.call("copying to "+g.deviceName(), g.toDevice, uintptr(to), uintptr(unsafe.Pointer(&data[0])), uintptr(n),
		g.stream))
	g.sync()
	runtime.KeepAlive(data)
}

// pointer makes a pointer of an address outside of Go's memory.
func pointer[T any](addr uintptr) *T { return *(**T)(unsafe.Pointer(&addr)) }

// download copies elements from the GPU's memory, when all is computed that was asked for.
func download[T float32 | float64](g *gpu, data []T, from uint64) {
	g.flush()
	if len(data) > 0 {
		n := len(data) * int(unsafe.Sizeof(data[0]))
		g.must(g.call("copying from "+g.deviceName(), g.toHost, uintptr(unsafe.Pointer(&data[0])), uintptr(from),
			uintptr(n), g.stream))
	}
	g.sync()
	runtime.KeepAlive(data)
}
