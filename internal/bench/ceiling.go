package bench

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/klauspost/cpuid/v2"

	"psld/asm"
)

// machine measures what the processor and the memory can do.
type machine struct {
	tier     asm.Tier
	threads  int
	src, dst []byte // for copies
}

// slice is the length of one measurement of a ceiling.
const slice = 5 * time.Millisecond

// ceilings measures and emits the rates of every tier, and of copies in each level of
// memory, for one and all threads: the best of some slices, taken in turn.
func (m *machine) ceilings(ctx context.Context, passes int, emit func(Row)) error {
	m.allocate()
	var rows []Row
	var rates []func() float64
	threads := []int{1, m.threads}
	if m.threads == 1 {
		threads = threads[:1]
	}
	for _, n := range threads {
		for _, t := range asm.Available() {
			rows = append(rows, Row{Shape: "multiply-add", DType: "f32", Tier: t.String(), Threads: n})
			rates = append(rates, func() float64 { return fma(t, false, n, slice) })
			if asm.MultipliesPairs(t) {
				rows = append(rows, Row{Shape: "multiply-add", DType: "bf16", Tier: t.String(), Threads: n})
				rates = append(rates, func() float64 { return fma(t, true, n, slice) })
			}
		}
	}
	products := len(rows)
	for _, n := range threads {
		for _, size := range []int{n * 256 << 10, n * 4 << 20, len(m.src)} { // each thread's part fits in L2; in L3; neither
			rows = append(rows, Row{Shape: fmt.Sprintf("copy %g MiB", float64(2*size)/(1<<20)), DType: "f32",
				Tier: m.tier.String(), Threads: n})
			rates = append(rates, func() float64 { return m.copyRate(n, size, slice) })
		}
	}
	best := make([]float64, len(rows))
	for range passes {
		for i, rate := range rates {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			best[i] = max(best[i], rate())
		}
	}
	for i, row := range rows {
		row.Op, row.Fraction = "ceiling", 1
		if i < products {
			row.GFLOPS, row.CeilingGFLOPS = best[i], best[i]
		} else {
			row.GBs, row.CeilingGBs = best[i], best[i]
		}
		emit(row)
	}
	return nil
}

// fma is the rate in GFLOP/s of multiply-adds on registers, of all threads together.
func fma(t asm.Tier, pairs bool, threads int, d time.Duration) float64 {
	return each(threads, d, func(int) float64 { return asm.MulAdds(t, pairs, 1<<11) })
}

// each runs f on several threads for about d and gives what they returned in all, in 1e9 a second.
func each(threads int, d time.Duration, f func(thread int) float64) float64 {
	done := make([]float64, threads)
	var wg sync.WaitGroup
	start := time.Now()
	for i := range threads {
		wg.Go(func() {
			for sum := &done[i]; *sum == 0 || time.Since(start) < d; {
				*sum += f(i)
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(start).Seconds()
	total := 0.0
	for _, v := range done {
		total += v
	}
	return total / elapsed / 1e9
}

// allocate makes the buffers of copies: four times the last cache. They are written, since
// memory that never was is one page of zeros.
func (m *machine) allocate() {
	n := min(max(64<<20, 4*cpuid.CPU.Cache.L3), 512<<20)
	m.src, m.dst = make([]byte, n), make([]byte, n)
	for i := 0; i < n; i += 64 {
		m.src[i], m.dst[i] = byte(i>>6), 1
	}
}

// copyRate is the rate in GB/s of copying size bytes, each thread a part of its own; what is read
// and what is written both count. Go copies large blocks by stores that pass the caches by, small ones by
// ordinary stores; from memory the better way of the two counts.
func (m *machine) copyRate(threads, size int, d time.Duration) float64 {
	part := size / threads
	rate := func(piece int) float64 {
		return each(threads, d, func(i int) float64 {
			src, dst := m.src[i*part:][:part], m.dst[i*part:][:part]
			for at := 0; at < part; at += piece {
				copy(dst[at:min(part, at+piece)], src[at:])
			}
			return 2 * float64(part)
		})
	}
	const small = 64 << 10
	if size < len(m.src) {
		return rate(small)
	}
	return max(rate(part), rate(small))
}
