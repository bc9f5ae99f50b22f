package bench

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/asm"
	"psld/tensor"
)

// small are problems of every kind, small and odd enough to be summed up by the sample as a whole.
func small() []problem {
	pad := tensor.Conv{KH: 3, KW: 3, Stride: 2, PadBottom: 1, PadRight: 1}
	up := tensor.SameConv(3)
	up.Upsample = true
	down := tensor.SameConv(3)
	down.Stride = 2
	return []problem{
		linear(7, 5, 3, true), linear(33, 40, 17, true),
		conv(5, 3, 4, tensor.SameConv(3), true), conv(6, 4, 3, pad, true), conv(7, 3, 5, down, true), conv(4, 3, 2,
			up, true),
		conv(5, 3, 4, tensor.Conv{KH: 1, KW: 1, Stride: 1}, true),
		attention(2, 9, 7, 5), attention(1, 33, 40, 16),
		groupNormOp(3, 4, 64, false, epsUNet), groupNormOp(5, 4, 96, true, epsVAE), layerNormOp(5, 33), softmaxOp(6, 19),
		unary("SiLU", tensor.SiLU, 9, 11), unary("GELU", tensor.GELU, 9, 11), unary("Exp", tensor.Exp, 9, 11),
		geglu(7, 13), add(5, 9), addChannels(6, 5), concat(7, 3, 4), conversions(100),
	}
}

// The engine, which has tests of its own, agrees with the sums here; and a wrong
// number in its results is seen.
func TestErrors(t *testing.T) {
	// f32x3 keeps 17 bits of both factors: a sum of few products may be off by 2^-17 twice.
	limits := map[string]float64{"bf16": 1e-2, "f32x3": 0x2p-17, "F32ToBF16": 3e-3, "F32ToF16": 4e-4}
	for _, p := range small() {
		for _, c := range p.choose(nil) {
			name := p.ops[c.op].name
			t.Run(name+"/"+p.shape+"/"+c.dtype, func(t *testing.T) {
				limit := max(limits[c.dtype], limits[name])
				if limit == 0 {
					limit = 3e-6
				}
				for try := range 4 { // other samples
					var s sample
					r := newRandom(p.shape)
					for range try {
						r.Uint64()
					}
					p.setup(r)[c.op].check(c.device(), &s)
					require.Less(t, s.error(), limit)
				}
			})
		}
	}
}

func TestSample(t *testing.T) {
	var s sample
	s.add(0, 3, 3)
	s.add(0, 4.5, 4)
	s.add(1, 100, 100)
	require.Equal(t, 0.1, s.error())
	s.add(1, float32(nan()), 1)
	require.NotEqual(t, s.error(), s.error(), "a NaN must show")
}

func nan() float64 { var zero float64; return zero / zero }

// The work, counted by hand.
func TestWork(t *testing.T) {
	type work struct{ flop, bytes float64 }
	same, down, up := tensor.SameConv(3), tensor.SameConv(3), tensor.SameConv(3)
	down.Stride, up.Upsample = 2, true
	for name, c := range map[string]struct {
		p    problem
		want []work
	}{
		// 2 x 4096 x 320 x 320, in all three directions
		"linear": {linear(4096, 320, 320, true), []work{{838860800, 0}, {838860800, 0}, {838860800, 0}}},
		// 2 x 64 x 64 pixels x 9 x 320 x 320
		"conv": {conv(64, 320, 320, same, false), []work{{7549747200, 0}, {7549747200, 0}}},
		// a quarter of the pixels
		"stride": {conv(64, 320, 320, down, false), []work{{1887436800, 0}, {1887436800, 0}}},
		// four times the pixels
		"up": {conv(32, 640, 640, up, false), []work{{30198988800, 0}, {30198988800, 0}}},
		// 8 heads x 4096 x 4096 x 40: q k' and p v; backward five such products
		"attention": {attention(8, 4096, 4096, 40), []work{{21474836480, 0}, {53687091200, 0}}},
		"cross":     {attention(8, 4096, 77, 40), []work{{403701760, 0}, {1009254400, 0}}},
		// 64 x 64 x 320 = 1310720 numbers: x twice and y; dy and x twice and dx
		"group norm": {groupNormOp(64, 64, 320, true, epsUNet), []work{{18 * 1310720, 15728640}, {36 * 1310720, 26214400}}},
		"layer norm": {layerNormOp(4096, 320), []work{{8 * 1310720, 10485760}, {12 * 1310720, 15728640}}},
		"add, copy":  {add(4096, 320), []work{{1310720, 15728640}, {0, 10485760}}},
		// 20 numbers from 40; 40 from 20 and 40
		"geglu":       {geglu(4, 5), []work{{12 * 20, 240}, {24 * 20, 400}}},
		"conversions": {conversions(10), []work{{0, 60}, {0, 60}, {0, 60}, {0, 60}}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []work
			for _, op := range c.p.ops {
				got = append(got, work{op.flop, op.bytes})
			}
			require.Equal(t, c.want, got)
			require.NotEmpty(t, c.p.choose(nil))
		})
	}
}

// Names tell rows apart, and both lists hold every operation.
func TestNames(t *testing.T) {
	for _, quick := range []bool{false, true} {
		seen, ops := map[string]bool{}, map[string]bool{}
		for _, p := range cases(quick) {
			for _, c := range p.choose(nil) {
				name := p.ops[c.op].name + "/" + p.shape + "/" + c.dtype
				require.False(t, seen[name], name)
				seen[name], ops[p.ops[c.op].name] = true, true
			}
		}
		for _, want := range []string{"Linear", "LinearGradInput", "LinearGradWeight", "Conv2d", "Conv2dGradInput",
			"Conv2dGradWeight", "Attention", "AttentionGrad",
			"GroupNormSiLU", "GroupNormSiLUGrad", "LayerNorm", "Softmax", "SiLU", "GEGLU", "Add", "F32ToBF16"} {
			require.True(t, ops[want], want)
		}
	}
}

func TestRun(t *testing.T) {
	tier := asm.Available()[0]
	active := asm.Active()
	o := Options{Tier: tier, Filter: regexp.MustCompile("^(Add|Copy)/"), Quick: true}
	require.Equal(t, 2, Count(o))
	var rows []Row
	require.NoError(t, Run(t.Context(), o, func(r Row) { rows = append(rows, r) }))
	require.Equal(t, active, asm.Active(), "the kernels must be as before")
	require.Equal(t, "Add", rows[len(rows)-2].Op)
	last := rows[len(rows)-1]
	require.Equal(t, "Copy", last.Op)
	require.Equal(t, tier.String(), last.Tier)
	tiers := map[string]bool{}
	for _, r := range rows {
		b, err := json.Marshal(r)
		require.NoError(t, err)
		var fields map[string]any
		require.NoError(t, json.Unmarshal(b, &fields))
		want := []string{"op", "shape", "dtype", "tier", "threads", "gflops", "ceiling_gflops", "fraction", "err_rel_l2"}
		if r.GBs > 0 {
			want = append(want, "gbs", "ceiling_gbs")
			require.InDelta(t, r.GBs/r.CeilingGBs, r.Fraction, 1e-9)
		} else {
			require.InDelta(t, r.GFLOPS/r.CeilingGFLOPS, r.Fraction, 1e-9)
		}
		var got []string
		for k := range fields {
			got = append(got, k)
		}
		require.ElementsMatch(t, want, got)
		require.Positive(t, r.Fraction)
		if r.Op == "ceiling" {
			tiers[r.Tier] = true
		}
	}
	for _, a := range asm.Available() {
		require.True(t, tiers[a.String()], "no ceiling of %v", a)
	}
}

// A stop ends the run before the next timing, with what was known until then.
func TestStop(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var rows []Row
	err := Run(ctx, Options{Filter: regexp.MustCompile("^(Add|Copy|LayerNorm)/"), Quick: true}, func(r Row) {
		rows = append(rows, r)
		if r.Op == "LayerNorm" {
			cancel()
		}
	})
	require.True(t, errors.Is(err, context.Canceled), err)
	require.Equal(t, "LayerNorm", rows[len(rows)-1].Op) // Add and Copy come later
}
