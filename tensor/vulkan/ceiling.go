//go:build vulkan

package vulkan

import "time"

// MultiplyAdds measures what the device can do at best: GFLOP/s of multiply-adds on registers, written as a simple
// loop (flops.comp), for about the given time.
func (d *Device) MultiplyAdds(about time.Duration) float64 {
	const group, chains, steps = 64, 12, 16 // as in flops.comp
	groups := 1024
	if d.physical.isCPU() {
		groups = 32
	}
	y := d.Get(groups * group)
	defer d.Put(y)
	for rounds := 64; ; rounds *= 4 {
		took := d.timed(func() {
			defer d.lock()()
			d.launch(launch{kernel: "flops", out: []*piece{d.out(y)}, push: []uint32{u(rounds), f(0.999), f(0.001)},
				groups: [3]int{groups, 1, 1}})
		})
		if took >= about/4 || rounds >= 1<<26 {
			return 2 * float64(groups*group*rounds) * chains * steps / took.Seconds() / 1e9
		}
	}
}

// Copies measures GB/s of copies inside the device's memory, bytes read plus bytes written, for about the given time.
func (d *Device) Copies(about time.Duration) float64 {
	const size = 32 << 20
	x, y := d.Get(size/4), d.Get(size/4)
	defer d.Put(x)
	defer d.Put(y)
	for count := 1; ; count *= 4 {
		took := d.timed(func() {
			defer d.lock()()
			for range count {
				d.copy(*d.out(y), *d.out(x), size)
			}
		})
		if took >= about/4 || count >= 1<<12 {
			return 2 * size * float64(count) / took.Seconds() / 1e9
		}
	}
}

// timed is the time that the device needs for what fn asks, the second time that it asks.
func (d *Device) timed(fn func()) time.Duration {
	fn()
	d.Sync()
	start := time.Now()
	fn()
	d.Sync()
	return time.Since(start)
}
