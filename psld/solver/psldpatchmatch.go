package solver

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	"psld/psld/operator"
	"psld/psld/patchmatch"
	"psld/psld/prior"
	"psld/tensor"
)

// PSLDPatchMatch fills deep holes at two scales (Yang et al. 2017, "High-resolution image inpainting using multi-scale
// neural patch synthesis"): PSLD paints them in a picture made so much smaller that the prior sees all of a hole, and
// what surrounds it, at once; then [PatchMatch] goes from there to the full size, with patches of the picture itself.
// The one knows what may be there, the other has its texture and its edges. Where no hole is twice as deep as
// HoleDepth, where the smaller picture would be smaller than those that the prior was trained on, and where too little
// is known for patches, it is PSLD alone.
//
// The weights are those of PSLD for a picture of the full size. Noise stays as it is, in the hole too.
type PSLDPatchMatch struct {
	PSLD
	HoleDepth int     `json:"hole_depth" range:"4..1024" default:"16" help:"pixels from middle to rim that PSLD fills"`
	Texture   float64 `json:"texture" range:"0..1e6" help:"weight of texture's strength beside colours"`
}

// Bind implements [Method].
func (o *PSLDPatchMatch) Bind(r *Run) (Stepper, error) {
	keep, in := operator.MaskOf(r.A), r.A.In()
	halvings := o.Halvings(r.Prior, keep, in.H, in.W)
	if halvings == 0 {
		return o.PSLD.Bind(r)
	}
	f, err := patchmatch.New(r.Y, keep, in.H, in.W, o.Texture)
	if err != nil {
		return nil, &Refused{fmt.Sprintf("method psld-patchmatch: %v: take method psld, pnp-admm or tv", err)}
	}
	small, err := r.smaller(1 << halvings)
	if err != nil {
		return nil, err
	}
	first := o.PSLD
	first.Omega, first.Gamma = math.Ldexp(o.Omega, -halvings), math.Ldexp(o.Gamma, -halvings)
	s, err := first.Bind(small)
	if err != nil {
		return nil, err
	}
	return &psldPatchMatch{patchMatch{r, f.Guided(halvings)}, small, s, 1 << halvings}, nil
}

// Smaller is a method whose prior sees pictures of 1/2^Halvings of the sides of the one, of h x w pixels, that has the
// holes where keep is not.
type Smaller interface {
	Halvings(m prior.Prior, keep []bool, h, w int) int
}

// Seen is the size of the picture that the prior sees in a run on h x w pixels, which has holes where keep is not: it
// is smaller for a [Smaller] method. Without a mask keep is nil.
func Seen(method Method, m prior.Prior, keep []bool, h, w int) (int, int) {
	s, ok := method.(Smaller)
	if !ok || m == nil || len(keep) != h*w {
		return h, w
	}
	n := s.Halvings(m, keep, h, w)
	return (h + 1<<n - 1) >> n, (w + 1<<n - 1) >> n
}

// Halvings implements [Smaller].
func (o *PSLDPatchMatch) Halvings(m prior.Prior, keep []bool, h, w int) (n int) {
	deep := int(slices.Max(operator.Depths(keep, h, w, 1, 1)))
	least := max(32, m.Info().TrainSize)
	for deep >= o.HoleDepth<<(n+1) && min(h, w) >= least<<(n+1) {
		n++
	}
	if n > 0 && !patchmatch.CanFill(keep, h, w) {
		return 0
	}
	return n
}

// smaller is the run for a picture of 1/n of the sides, of whose pixels those are known of which all are.
func (r *Run) smaller(n int) (*Run, error) {
	in := r.A.In()
	h, w := (in.H+n-1)/n, (in.W+n-1)/n
	keep := slices.Repeat([]bool{true}, h*w)
	for i, k := range operator.MaskOf(r.A) {
		if !k {
			keep[i/in.W/n*w+i%in.W/n] = false
		}
	}
	a, err := operator.NewMask(h, w, in.C, keep)
	if err != nil {
		return nil, err
	}
	p := Problem{A: a, Y: blockMeans(r.Y, in, n), Sigma: r.Sigma / float64(n)}
	for i, k := range keep {
		if !k {
			clear(p.Y[in.C*i : in.C*(i+1)])
		}
	}
	o := r.o
	if o.Start != nil {
		o.Start = blockMeans(r.Start, in, n)
	}
	r.small = newRun(r.Prior, p, o)
	return r.small, nil
}

// blockMeans are the means of the blocks of n x n pixels, smaller at the right and lower border, which
// [operator.NewAveragePool] leaves out.
func blockMeans(x []float32, in operator.Shape, n int) []float32 {
	h, w := (in.H+n-1)/n, (in.W+n-1)/n
	sums, count := make([]float64, h*w*in.C), make([]float64, h*w)
	for i := range in.H * in.W {
		at := i/in.W/n*w + i%in.W/n
		count[at]++
		for c := range in.C {
			sums[at*in.C+c] += float64(x[i*in.C+c])
		}
	}
	means := make([]float32, len(sums))
	for i, s := range sums {
		means[i] = float32(s / count[i/in.C])
	}
	return means
}

// psldPatchMatch has the variables of PSLD on the smaller picture, then x, the larger picture of that, at the last of
// its steps, then those of patchMatch.
type psldPatchMatch struct {
	patchMatch
	small *Run
	first Stepper
	times int // the sides of the picture over those of the smaller one
}

func (m *psldPatchMatch) Len() int { return m.first.Len() + m.patchMatch.Len() }

func (m *psldPatchMatch) Start(s *State) error {
	in := m.inner(s)
	err := m.first.Start(in)
	s.Vars, s.lent = in.Vars, in.lent
	return err
}

// inner is a state as the stepper knows it that it belongs to.
func (m *psldPatchMatch) inner(s *State) *State {
	in := *s
	if n := m.first.Len(); s.Step < n {
		m.small.ctx, m.small.at, m.small.find, m.small.timing = m.r.ctx, m.r.at, m.r.find, Timing{}
		in.Steps = n
	} else {
		in.Step, in.Steps = s.Step-n, s.Steps-n
	}
	return &in
}

func (m *psldPatchMatch) Step(ctx context.Context, s *State) (report Report, err error) {
	in, n := m.inner(s), m.first.Len()
	defer func() { s.Vars, s.lent = in.Vars, in.lent }()
	if s.Step >= n {
		if s.Step == n {
			m.f.Guide(s.Vars["x"].Data)
		}
		report, err = m.patchMatch.Step(ctx, in)
		report.Share = (1 + report.Share) / 2 // the two take about as long
		return report, err
	}
	before := State{Vars: maps.Clone(s.Vars)}
	report, err = m.first.Step(ctx, in)
	if err != nil {
		return report, err
	}
	m.r.timing = m.small.timing
	report.Share = float64(s.Step+1) / float64(2*n)
	report.Measurement *= math.Sqrt(float64(m.r.Measured()) / float64(max(1, m.small.Measured()))) // a mean is told of it
	if s.Step == n-1 {
		in.Step++
		x, err := m.larger(in)
		if err != nil {
			return report, err
		}
		in.release(m.r.Device(), &before)
		in.Vars, in.lent = map[string]*tensor.Tensor{}, nil
		m.set(in, x)
	}
	return report, nil
}

// larger is the picture that a state of PSLD stands for at the full size, with what is known in its place.
func (m *psldPatchMatch) larger(s *State) ([]float32, error) {
	x, err := m.first.Picture(s)
	if err != nil {
		return nil, err
	}
	from, in, n := m.small.A.In(), m.r.A.In(), m.times
	up, err := operator.NewResize(from.H, from.W, in.C, n*from.H, n*from.W, operator.Bicubic)
	if err != nil {
		return nil, err
	}
	all := make([]float32, up.Out().Len())
	up.Apply(all, x)
	x = slices.Clone(m.r.Y)
	for i, k := range operator.MaskOf(m.r.A) {
		if !k {
			copy(x[3*i:3*i+3], all[3*(i/in.W*n*from.W+i%in.W):])
		}
	}
	return x, nil
}

func (m *psldPatchMatch) Picture(s *State) ([]float32, error) {
	in := m.inner(s)
	if s.Step >= m.first.Len() {
		return m.patchMatch.Picture(in)
	}
	return m.larger(in)
}
