//go:build cuda

package cuda

import "time"

// MultiplyAdds measures for about so long the rate of multiply-adds on registers, or of tensor cores where the device
// multiplies on these, in GFLOP/s.
func (d *device) MultiplyAdds(about time.Duration) float64 {
	d.begin()
	defer d.leave()
	const blocks, threads = 264, 256
	y := at(d.scratch(4))
	if d.kind != "f32" {
		flop := 2 * 16 * 8 * 16 * 8.0 // of a warp in a round
		if d.kind == "tf32" {
			flop /= 2
		}
		return d.rate(about, blocks*threads/32*flop, func(n int) {
			d.launch(d.kind+"Rounds", grid{blocks, 1, 1}, threads, y, i32(n))
		})
	}
	return d.rate(about, blocks*threads*2*16, func(n int) {
		d.launch("multiplyAdds", grid{blocks, 1, 1}, threads, y, i32(n), f32(0.999), f32(0.001))
	})
}

// Copies measures for about so long the rate of copies within the device's memory, in GB/s; what is read and what is
// written both count.
func (d *device) Copies(about time.Duration) float64 {
	d.begin()
	defer d.leave()
	const bytes = 128 << 20 // more than caches hold
	from, to := d.scratch(bytes), d.scratch(bytes)
	return d.rate(about, 2*bytes, func(n int) {
		for range n {
			d.copy(to, from, bytes/4)
		}
	})
}

// rate runs more and more rounds of some work until one call takes so long, and gives 1e9 of that in a second.
func (d *device) rate(about time.Duration, work float64, run func(rounds int)) float64 {
	run(1) // compiles
	d.sync()
	for n := 1; ; n *= 2 {
		start := time.Now()
		run(n)
		d.sync()
		if took := time.Since(start); took >= about || n >= 1<<24 {
			return work * float64(n) / took.Seconds() / 1e9
		}
	}
}
