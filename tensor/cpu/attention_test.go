package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/asm"
	"psld/tensor"
)

// attentionCase is a problem with its solution by the definition, in float64.
type attentionCase struct {
	n, l, m, heads, d int
	causal            bool
	q, k, v, do       *tensor.Tensor
	want              [4][]float64 // o, dq, dk, dv
	spread            [4][]float64 // the squares of what is added up for them: rounding errors grow like their roots
}

func newAttentionCase(seed uint64, n, l, m, heads, d int, causal bool) *attentionCase {
	r := rand.New(rand.NewPCG(seed, 7))
	c := heads * d
	t := &attentionCase{n: n, l: l, m: m, heads: heads, d: d, causal: causal,
		q: normal(r, n, l, c), k: normal(r, n, m, c), v: normal(r, n, m, c), do: normal(r, n, l, c)}
	for i := range t.v.Data {
		t.v.Data[i] += 0.5
	}
	for i, rows := range []int{l, l, m, m} {
		t.want[i], t.spread[i] = make([]float64, n*rows*c), make([]float64, n*rows*c)
	}
	add := func(result, at int, v, square float64) {
		t.want[result][at] += v
		t.spread[result][at] += square
	}
	scale := 1 / math.Sqrt(float64(d))
	p, ds, ds2 := make([]float64, m), make([]float64, m), make([]float64, m)
	for b := range n {
		for h := range heads {
			for i := range l {
				at := (b*l+i)*c + h*d
				seen := m
				if causal {
					seen = min(m, i+1)
				}
				top, sum := math.Inf(-1), 0.0
				for j := range seen {
					p[j] = 0
					for x := range d {
						p[j] += float64(t.q.Data[at+x]) * float64(t.k.Data[(b*m+j)*c+h*d+x])
					}
					p[j] *= scale
					top = max(top, p[j])
				}
				for j := range seen {
					p[j] = math.Exp(p[j] - top)
					sum += p[j]
				}
				mean, mean2 := 0.0, 0.0
				for j := range seen {
					p[j] /= sum
					ds[j], ds2[j] = 0, 0
					for x := range d {
						v, g := float64(t.v.Data[(b*m+j)*c+h*d+x]), float64(t.do.Data[at+x])
						add(0, at+x, p[j]*v, p[j]*v*p[j]*v)
						ds[j], ds2[j] = ds[j]+g*v, ds2[j]+g*v*g*v
						add(3, (b*m+j)*c+h*d+x, p[j]*g, p[j]*g*p[j]*g)
					}
					mean, mean2 = mean+p[j]*ds[j], mean2+p[j]*ds2[j]
				}
				for j := range seen {
					w := p[j] * scale
					s, s2 := w*(ds[j]-mean), w*w*(ds2[j]+mean2)
					for x := range d {
						k, q := float64(t.k.Data[(b*m+j)*c+h*d+x]), float64(t.q.Data[at+x])
						add(1, at+x, s*k, s2*k*k)
						add(2, (b*m+j)*c+h*d+x, s*q, s2*q*q)
					}
				}
			}
		}
	}
	return t
}

// run gives o, dq, dk and dv; their memory has a guard behind it, and NaN in it.
func (t *attentionCase) run(tb testing.TB, dev tensor.Device) [4][]float32 {
	c := t.heads * t.d
	const margin = 40 // behind the elements
	var out [4]*tensor.Tensor
	for i, rows := range []int{t.l, t.l, t.m, t.m} {
		out[i] = tensor.New(t.n, rows, c)
		whole := make([]float32, len(out[i].Data)+margin)
		for j := range whole {
			whole[j] = float32(math.NaN())
		}
		out[i].Data = whole[:len(out[i].Data)]
	}
	stats := tensor.New(t.n, t.heads, 2, t.l)
	dev.Attention(out[0], stats, t.q, t.k, t.v, t.heads, t.causal)
	dev.AttentionGrad(out[1], out[2], out[3], t.do, out[0], stats, t.q, t.k, t.v, t.heads, t.causal)
	var data [4][]float32
	for i, x := range out {
		data[i] = x.Data
		for _, v := range x.Data[len(x.Data) : len(x.Data)+margin] {
			require.True(tb, v != v, "wrote behind result %d", i)
		}
	}
	return data
}

// errors are relative L2, of o, dq, dk and dv. Where the truth is small because terms cancel (a single key takes all:
// dq and dk are zero), what is left of the roundings of the terms is measured by the size of a sum of such terms with
// random signs. least is the smallest size of an element.
func (t *attentionCase) errors(got [4][]float32, least float64) (e [4]float64) {
	for i := range got {
		var diff, size float64
		for j, w := range t.want[i] {
			g := float64(got[i][j]) - w
			diff += g * g
			size += w*w + t.spread[i][j]
		}
		if diff > 0 {
			e[i] = math.Sqrt(diff / max(size, least*least*float64(len(got[i]))))
		}
	}
	return e
}

func (t *attentionCase) check(tb testing.TB, dev tensor.Device, name string) {
	// Roundings of 6e-8 each: of sums of up to 600 terms that grow like a random walk, of powers, whose error grows with
	// the score, and of factors. Over 7,476 random shapes no error was above 7.3e-7.
	limits, least := [4]float64{4e-6, 4e-6, 4e-6, 4e-6}, 0.0
	if dev == BF16 && asm.HasPairs() {
		limits, least = [4]float64{1e-2, 2e-2, 2e-2, 1e-2}, 0.1
		if t.d < 8 { // few roundings, which do not even out
			limits = [4]float64{2e-2, 8e-2, 8e-2, 2e-2}
		}
	}
	for i, e := range t.errors(t.run(tb, dev), least) {
		require.LessOrEqual(tb, e, limits[i], "%s: result %d (o, dq, dk, dv) of %dx%dx%d, %d heads, d=%d, causal %v, on %s",
			name, i, t.n, t.l, t.m, t.heads, t.d, t.causal, dev.Name())
	}
}

// eachDevice runs f on both devices of each tier.
func eachDevice(t *testing.T, f func(t *testing.T, dev tensor.Device)) {
	for _, tier := range asm.Available() {
		func() {
			defer asm.Use(asm.Use(tier))
			t.Run(tier.String(), func(t *testing.T) { f(t, F32) })
			if asm.HasPairs() { // elsewhere it does the same as CPU
				t.Run(tier.String()+"/bf16", func(t *testing.T) { f(t, BF16) })
			}
		}()
	}
}

func TestAttention(t *testing.T) {
	var cases []*attentionCase
	for i := 1; i <= 70; i++ { // all lengths, on either side
		cases = append(cases, newAttentionCase(uint64(i), 1, i, 1+i*29%70, 1, []int{1, 3, 8}[i%3], i%4 == 0))
	}
	for i, d := range []int{1, 3, 8, 17, 33, 40, 64, 80, 160, 512} {
		cases = append(cases, newAttentionCase(uint64(i), 1, 41+i, 35, 1+i%2, d, i%2 == 1))
	}
	cases = append(cases,
		newAttentionCase(1, 2, 150, 77, 2, 40, false),  // several parts of the queries
		newAttentionCase(2, 3, 67, 67, 3, 16, true),    // CLIP's form
		newAttentionCase(3, 1, 300, 530, 1, 8, false),  // several groups of keys
		newAttentionCase(4, 1, 290, 290, 1, 16, true),  //
		newAttentionCase(5, 1, 520, 140, 1, 5, true),   // later queries than keys
		newAttentionCase(6, 1, 40, 290, 1, 6, true),    // keys that no query sees
		newAttentionCase(7, 1, 70, 300, 1, 512, false), // stride of a power of two
	)
	eachDevice(t, func(t *testing.T, dev tensor.Device) {
		for i, c := range cases {
			if asm.Active() <= asm.NEON && c.l*c.m*c.d > 1<<18 {
				continue // slow (NEON is emulated where it is tested), and the same loops
			}
			c.check(t, dev, fmt.Sprint(i))
		}
	})
}

// Large scores: the largest weight is 1 and nothing overflows; hidden keys get nothing at all.
func TestAttentionExtremes(t *testing.T) {
	eachDevice(t, func(t *testing.T, dev tensor.Device) {
		for _, causal := range []bool{false, true} {
			c := newAttentionCase(1, 1, 45, 260, 2, 8, causal)
			for i := range c.q.Data {
				c.q.Data[i] *= 1000
			}
			for i, x := range c.run(t, dev) {
				for j, v := range x {
					require.False(t, math.IsNaN(float64(v)) || math.IsInf(float64(v), 0), "result %d", i)
					if key := j / 16; causal && i >= 2 && key >= 45 {
						require.Zero(t, v, "gradient of hidden key %d", key)
					}
				}
			}
		}
	})
}

// A NaN reaches what depends on it, and nothing in other heads and batch items.
func TestAttentionNaN(t *testing.T) {
	nan := float32(math.NaN())
	eachDevice(t, func(t *testing.T, dev tensor.Device) {
		const l, m, d = 37, 150, 8
		for which := range 3 {
			c := newAttentionCase(1, 2, l, m, 2, d, false)
			x := []*tensor.Tensor{c.q, c.k, c.v}[which]
			rows := []int{l, m, m}[which]
			row := rows - 2
			x.Data[row*2*d+d+3] = nan // batch item 0, head 1
			o := c.run(t, dev)[0]
			for i, v := range o {
				item, query, head := i/(l*2*d), i/(2*d)%l, i/d%2
				hit := item == 0 && head == 1 && (which != 0 || query == row) && (which != 2 || i%d == 3)
				require.Equal(t, hit, v != v, "NaN in tensor %d: o[%d][%d] of head %d is %v", which, item, query, head, v)
			}
		}
	})
}

func TestAttentionSameBits(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	cases := []*attentionCase{
		newAttentionCase(1, 1, 300, 530, 2, 8, false),
		newAttentionCase(2, 1, 300, 300, 1, 16, true),
		newAttentionCase(3, 2, 200, 60, 1, 40, false),
	}
	eachDevice(t, func(t *testing.T, dev tensor.Device) {
		for _, c := range cases {
			runtime.GOMAXPROCS(1)
			want := c.run(t, dev)
			for _, threads := range []int{1, 2, 3, 4, 4} {
				runtime.GOMAXPROCS(threads)
				for i, x := range c.run(t, dev) {
					require.True(t, slices.Equal(want[i], x), "result %d on %d threads", i, threads)
				}
			}
		}
	})
}

// Memory beyond inputs and outputs on two threads: what the pool hands out, and the scratch of the
// workers. The largest shapes of Stable Diffusion take a while, and come with PSLD_FULL=1.
func TestAttentionMemory(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	makeScratch := scratches.New
	defer func() { scratches.New = makeScratch }()
	var made []*scratch
	var mu sync.Mutex
	scratches.New = func() any {
		mu.Lock()
		defer mu.Unlock()
		made = append(made, new(scratch))
		return made[len(made)-1]
	}
	for _, s := range []struct {
		heads, l, m, d int
		full           bool
	}{{8, 4096, 77, 40, false}, {8, 1024, 1024, 80, false}, {8, 4096, 4096, 40, true}, {1, 4096, 4096, 512, true}} {
		if asm.Active() <= asm.NEON || s.full && os.Getenv("PSLD_FULL") == "" { // slow, and the same on every tier
			continue
		}
		r, c := rand.New(rand.NewPCG(1, 1)), s.heads*s.d
		q, k, v, do := normal(r, 1, s.l, c), normal(r, 1, s.m, c), normal(r, 1, s.m, c), normal(r, 1, s.l, c)
		o, dq, dk, dv, stats := tensor.New(1, s.l, c), tensor.New(1, s.l, c), tensor.New(1, s.m, c), tensor.New(1,
			s.m, c), tensor.New(1, s.heads, 2, s.l)
		for _, dev := range []tensor.Device{F32, BF16} {
			for name, run := range map[string]func(){
				"forward":  func() { dev.Attention(o, stats, q, k, v, s.heads, false) },
				"backward": func() { dev.AttentionGrad(dq, dk, dv, do, o, stats, q, k, v, s.heads, false) },
			} {
				for n := len(made); n == len(made); { // none is left to be reused
					scratches.Get()
				}
				made = nil
				pool.ResetPeak()
				before := pool.Live()
				run()
				bytes := pool.Peak() - before
				for _, s := range made {
					for _, b := range s.buf {
						bytes += 4 * int64(cap(b))
					}
				}
				t.Logf("%dx%dx%dx%d %s %s: %.1f MiB", s.heads, s.l, s.m, s.d, dev.Name(), name, float64(bytes)/(1<<20))
				require.Less(t, bytes, int64(16<<20))
			}
		}
	}
}

// FuzzAttention takes shapes.
func FuzzAttention(f *testing.F) {
	f.Add(uint16(40), uint16(77), uint8(2), uint8(40), true, uint8(1))
	f.Add(uint16(260), uint16(300), uint8(1), uint8(8), false, uint8(2))
	f.Add(uint16(599), uint16(0), uint8(0), uint8(37), false, uint8(0)) // a single key, many queries
	f.Fuzz(func(t *testing.T, l, m uint16, heads, d uint8, causal bool, n uint8) {
		c := newAttentionCase(uint64(l)+uint64(m)<<16, 1+int(n%2), 1+int(l%600), 1+int(m%600), 1+int(heads%3),
			1+int(d%50), causal)
		for _, tier := range asm.Available()[1:] {
			defer asm.Use(asm.Use(tier))
			c.check(t, F32, tier.String())
			c.check(t, BF16, tier.String())
		}
	})
}
