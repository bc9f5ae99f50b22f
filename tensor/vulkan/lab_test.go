//go:build vulkan

package vulkan

import (
	"fmt"
	"math/rand"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func cpuTime() float64 {
	var r syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return float64(r.Utime.Sec) + float64(r.Utime.Usec)/1e6 + float64(r.Stime.Sec) + float64(r.Stime.Usec)/1e6
}

func TestLab(t *testing.T) {
	d := open(t)
	y := d.Get(1 << 20)
	rate := func(flop float64, fn func()) (float64, float64) {
		fn()
		d.Sync()
		c := cpuTime()
		w := time.Now()
		fn()
		d.Sync()
		return flop / (cpuTime() - c) / 1e9, flop / time.Since(w).Seconds() / 1e9
	}
	const groups, rounds = 256, 4000
	g, w := rate(groups*64*rounds*16*12*2, func() {
		defer d.lock()()
		d.launch(launch{kernel: "flops", out: []*piece{d.out(y)}, push: []uint32{rounds, f(0.999), f(0.001)}, groups: [3]int{groups, 1, 1}})
	})
	fmt.Printf("flops: %.1f GFLOP/s of a core, %.1f wall\n", g, w)
	n := 512
	a, b, c := d.Get(n, n), d.Get(n, n), d.Get(n, n)
	data := make([]float32, n*n)
	for i := range data {
		data[i] = rand.Float32() - 0.5
	}
	d.Upload(a, data)
	d.Upload(b, data)
	var want []float64
	for k := range 4 {
		_ = k
	}
	for _, name := range strings.Split(os.Getenv("LAB"), ",") {
		if name == "" {
			continue
		}
		var tm, tn int
		fmt.Sscanf(name[strings.LastIndex(name, "_")+1:], "%dx%d", &tm, &tn)
		c0 := cpuTime()
		run := func() {
			defer d.lock()()
			if strings.Contains(name, "_t_") {
				pa, pb := d.in(a), d.in(b)
				d.launch(launch{kernel: name, out: []*piece{d.out(c)}, texels: []*piece{pa, pb},
					push: []uint32{u(n), u(n), u(n), texel(pa), texel(pb)}, groups: [3]int{n / tm, n / tn, 1}})
				return
			}
			d.launch(launch{kernel: name, out: []*piece{d.out(c)}, in: []*piece{d.in(a), d.in(b)},
				push: []uint32{u(n), u(n), u(n)}, groups: [3]int{n / tm, n / tn, 1}})
		}
		run()
		d.Sync()
		first := cpuTime() - c0
		g, w := rate(2*float64(n)*float64(n)*float64(n), run)
		got := d.Host(c)
		bad := 0.0
		for _, ij := range [][2]int{{0, 0}, {17, 33}, {511, 510}, {100, 301}} {
			s := 0.0
			for k := range n {
				s += float64(data[ij[0]*n+k]) * float64(data[k*n+ij[1]])
			}
			bad = max(bad, abs(s-float64(got[ij[0]*n+ij[1]])))
		}
		fmt.Printf("%s: %.2f GFLOP/s of a core, %.2f wall, first %.2f s, error %.2g\n", name, g, w, first, bad)
	}
	_ = want
}

func abs(x float64) float64 {
	if x < 0 {
		return -x
	}
	return x
}
