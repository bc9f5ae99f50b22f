package solver

import (
	"context"
	"fmt"
	"slices"

	"psld/psld/operator"
	"psld/psld/patchmatch"
)

// PatchMatch fills holes with patches from elsewhere in the same picture (Wexler, Shechtman, Irani 2007; Barnes et al.
// 2009; Newson et al. 2014; see package patchmatch). It is for masks, and needs no model. It takes something away from
// before its background, and lets texture and edges go on; what the picture has nowhere else, the other half of a
// face, it cannot know. Noise stays as it is, in the hole too.
type PatchMatch struct {
	Texture float64 `json:"texture" range:"0..1e6" default:"50" help:"weight of texture's strength beside colours"`
}

// Bind implements [Method].
func (o *PatchMatch) Bind(r *Run) (Stepper, error) {
	in := r.A.In()
	if in.C != 3 {
		return nil, &Refused{fmt.Sprintf("method patchmatch is for pictures of 3 channels, this one has %d", in.C)}
	}
	f, err := patchmatch.New(r.Y, operator.MaskOf(r.A), in.H, in.W, o.Texture)
	if err != nil {
		return nil, &Refused{fmt.Sprintf("method patchmatch: %v: take method psld, pnp-admm or tv", err)}
	}
	return &patchMatch{r, f}, nil
}

type patchMatch struct {
	r *Run
	f *patchmatch.Filler
}

// Len is one: it has no states between that would be worth keeping.
func (m *patchMatch) Len() int { return 1 }

// Start is the rough picture, or the measurement with its hole.
func (m *patchMatch) Start(s *State) error {
	x := slices.Clone(m.r.Start)
	if x == nil {
		x = slices.Clone(m.r.Y)
	}
	return m.set(s, x)
}

func (m *patchMatch) set(s *State, x []float32) error {
	in := m.r.A.In()
	s.Set("x", x, in.H, in.W, in.C)
	return nil
}

func (m *patchMatch) Step(ctx context.Context, s *State) (Report, error) {
	x := slices.Clone(m.r.Y)
	if err := m.f.Fill(ctx, x, m.r.o.Seed); err != nil {
		return Report{}, err
	}
	return Report{}, m.set(s, x) // known pixels stay: |A x - y| is 0
}

func (m *patchMatch) Picture(s *State) ([]float32, error) { return slices.Clone(s.Vars["x"].Data), nil }
