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
	keep := operator.MaskOf(r.A)
	if !slices.Contains(keep, false) {
		return nil, &Refused{"method patchmatch fills holes, and this mask has none"}
	}
	f, err := patchmatch.New(r.Y, keep, in.H, in.W, o.Texture)
	if err != nil {
		return nil, &Refused{fmt.Sprintf("method patchmatch: %v: take method psld, pnp-admm or tv", err)}
	}
	return &patchMatch{r, f}, nil
}

// patchMatch has the variable x at the start and after the last step, and between them matches.
type patchMatch struct {
	r *Run
	f *patchmatch.Filler
}

func (m *patchMatch) Len() int { return m.f.Len() }

// Start is the rough picture, or the measurement with its hole.
func (m *patchMatch) Start(s *State) error {
	x := slices.Clone(m.r.Start)
	if x == nil {
		x = slices.Clone(m.r.Y)
	}
	m.set(s, x)
	return nil
}

func (m *patchMatch) set(s *State, x []float32) {
	in := m.r.A.In()
	s.Set("x", x, in.H, in.W, in.C)
}

// Step tells no loss: known pixels stay, |A x - y| is 0.
func (m *patchMatch) Step(ctx context.Context, s *State) (Report, error) {
	var matches []float32
	if t := s.Vars["matches"]; t != nil {
		matches = t.Data
	}
	report := Report{Share: m.f.Share(s.Step + 1)}
	if s.Step == m.Len()-1 {
		x, err := m.paint(ctx, m.Len(), matches)
		if err != nil {
			return report, err
		}
		delete(s.Vars, "matches")
		m.set(s, x)
		return report, nil
	}
	matches, err := m.f.Step(ctx, s.Step, matches, m.r.o.Seed)
	if err != nil {
		return report, err
	}
	delete(s.Vars, "x")
	s.Set("matches", matches, len(matches)/3, 3)
	return report, nil
}

func (m *patchMatch) paint(ctx context.Context, steps int, matches []float32) ([]float32, error) {
	x := slices.Clone(m.r.Y)
	return x, m.f.Paint(ctx, x, steps, matches, m.r.o.Seed)
}

func (m *patchMatch) Picture(s *State) ([]float32, error) {
	if x := s.Vars["x"]; x != nil {
		return slices.Clone(x.Data), nil
	}
	return m.paint(context.Background(), s.Step, s.Vars["matches"].Data)
}
