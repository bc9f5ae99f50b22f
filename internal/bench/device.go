package bench

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"psld/tensor"
)

// Ceilings is a device that measures what it can do at best.
type Ceilings interface {
	tensor.Device
	MultiplyAdds(about time.Duration) float64 // GFLOP/s of multiply-adds on registers
	Copies(about time.Duration) float64       // GB/s, bytes read plus bytes written
}

// deviceCase is an operation of a device with memory of its own.
type deviceCase struct {
	op, shape, group string
	flop, bytes      float64 // see op
	// run gives the job; check the relative error of some of its results, nil where the suite of devices has to do.
	setup func(d tensor.Device, r *random) (run func(), check func() float64)
}

// RunDevice measures operations at shapes of Stable Diffusion on a device with memory of its own, each in turn with
// the device's ceilings. Of o, Filter, Seconds and Quick count.
func RunDevice(ctx context.Context, d Ceilings, o Options, emit func(Row)) error {
	about := max(5*time.Millisecond, time.Duration(o.Seconds*float64(time.Second))/5)
	dtype := "f32"
	for _, other := range []string{"tf32", "bf16", "f16"} {
		if strings.HasSuffix(d.Name(), "/"+other) {
			dtype = other
		}
	}
	for _, c := range deviceCases(o.Quick) {
		if o.Filter != nil && !o.Filter.MatchString(c.op+"/"+c.shape+"/"+dtype) {
			continue
		}
		run, check := c.setup(d, newRandom(c.shape))
		together := waitSeldom(d, run)
		var times, peaks, copies []float64
		for range o.rounds() {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			peaks = append(peaks, d.MultiplyAdds(about))
			if c.bytes > 0 {
				copies = append(copies, d.Copies(about))
			}
			n, start := 0, time.Now()
			for n == 0 || time.Since(start).Seconds() < o.Seconds/float64(o.rounds()) {
				for range together {
					run()
				}
				d.Sync()
				n += together
			}
			times = append(times, time.Since(start).Seconds()/float64(n))
		}
		t := median(times)
		row := Row{Op: c.op, Shape: c.shape, DType: dtype, Tier: d.Name(), Group: c.group, GFLOPS: c.flop / t / 1e9,
			CeilingGFLOPS: median(peaks)}
		row.Fraction = row.GFLOPS / row.CeilingGFLOPS
		if c.bytes > 0 {
			row.GBs, row.CeilingGBs = c.bytes/t/1e9, median(copies)
			row.Fraction = row.GBs / row.CeilingGBs
		}
		if check != nil {
			row.Err = check()
		}
		emit(row)
	}
	return nil
}

// waitSeldom is how many runs to ask for before one waits for the device, so that the wait does not count: some
// milliseconds of them.
func waitSeldom(d tensor.Device, run func()) int {
	run() // compiles kernels, packs weights
	d.Sync()
	for n := 1; ; n *= 2 {
		start := time.Now()
		for range n {
			run()
		}
		d.Sync()
		if time.Since(start) > 4*time.Millisecond || n >= 1<<10 {
			return n
		}
	}
}

func deviceCases(quick bool) []deviceCase {
	same := tensor.SameConv(3)
	one := tensor.SameConv(1)
	if quick {
		return []deviceCase{deviceProduct(1, 512, 512, 512, one), deviceProduct(16, 16, 128, 128, same)}
	}
	return []deviceCase{
		deviceProduct(1, 2048, 2048, 2048, one), deviceProduct(1, 4096, 320, 2560, one),
		deviceProduct(1, 256, 1280, 1280, one),
		deviceProduct(64, 64, 320, 320, same), deviceProduct(32, 32, 640, 640, same),
		deviceProduct(256, 256, 128, 128, same),
		deviceAttention(4096, 8, 40), deviceAttention(1024, 8, 80),
		deviceNorm(64, 320), deviceUnary(64*64, 320),
	}
}

// onDevice is a tensor of random numbers in the device's memory, and the same on the host.
func onDevice(d tensor.Device, r *random, shape ...int) (t, host *tensor.Tensor) {
	host = r.tensor(0, 1, shape...)
	t = d.Get(shape...)
	d.Upload(t, host.Data)
	return t, host
}

// deviceProduct is a convolution of a picture of h x w pixels; a linear layer has a row of pixels and a window of one.
func deviceProduct(h, w, in, out int, p tensor.Conv) deviceCase {
	c := deviceCase{op: "Conv2d", shape: fmt.Sprintf("%dx%dx%d_%d_k%d", h, w, in, out, p.KH), group: groupConv,
		flop: productFlop(h, w, in, out, p)}
	if h == 1 {
		c.op, c.shape, c.group = "Linear", fmt.Sprintf("%dx%dx%d", w, in, out), groupLinear
	}
	c.setup = func(d tensor.Device, r *random) (func(), func() float64) {
		t := &convTensors{p: p, w: r.tensor(0, 1, out, in, p.KH, p.KW), bias: r.tensor(0, 1, out)}
		var x *tensor.Tensor
		x, t.x = onDevice(d, r, 1, h, w, in)
		y, weight, bias := d.Get(1, h, w, out), t.w.Clone(), t.bias.Clone()
		t.y = tensor.Shaped(y.Shape...)
		d.Pack(weight)
		d.Place(bias)
		run := func() { d.Conv2d(y, x, weight, bias, p, tensor.Epilogue{}) }
		return run, func() float64 {
			run()
			got := d.Host(y)
			diff, size := 0.0, 0.0
			for range samples {
				i := r.IntN(len(got))
				want := t.output(i/out/w, i/out%w, i%out)
				diff += (float64(got[i]) - want) * (float64(got[i]) - want)
				size += want * want
			}
			return math.Sqrt(diff / size)
		}
	}
	return c
}

func deviceAttention(l, heads, size int) deviceCase {
	return deviceCase{op: "Attention", shape: fmt.Sprintf("%dx%d_h%dd%d", l, l, heads, size), group: groupAttention,
		flop: float64(l*l*heads) * float64(4*size),
		setup: func(d tensor.Device, r *random) (func(), func() float64) {
			q, _ := onDevice(d, r, 1, l, heads*size)
			k, _ := onDevice(d, r, 1, l, heads*size)
			v, _ := onDevice(d, r, 1, l, heads*size)
			y := d.Get(1, l, heads*size)
			return func() { d.Attention(y, nil, q, k, v, heads, false) }, nil
		}}
}

// deviceNorm reads its input twice, since a statistic over it has to be known first.
func deviceNorm(side, c int) deviceCase {
	return deviceCase{op: "GroupNorm+SiLU", shape: fmt.Sprintf("%dx%dx%d", side, side, c), group: groupNorm,
		bytes: 12 * float64(side*side*c),
		setup: func(d tensor.Device, r *random) (func(), func() float64) {
			x, _ := onDevice(d, r, 1, side, side, c)
			gamma, _ := onDevice(d, r, c)
			y, stats := d.Get(1, side, side, c), d.Get(1, 32, 2)
			return func() { d.GroupNorm(y, stats, x, gamma, gamma, 32, 1e-5, true) }, nil
		}}
}

func deviceUnary(rows, c int) deviceCase {
	return deviceCase{op: "SiLU", shape: fmt.Sprintf("%dx%d", rows, c), group: groupElementwise,
		bytes: 8 * float64(rows*c),
		setup: func(d tensor.Device, r *random) (func(), func() float64) {
			x, _ := onDevice(d, r, rows, c)
			y := d.Get(rows, c)
			return func() { d.Unary(tensor.SiLU, y, x) }, nil
		}}
}
