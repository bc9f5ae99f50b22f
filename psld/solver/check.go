package solver

import (
	"errors"
	"fmt"
	"math"

	"psld/psld/param"
	"psld/psld/prior"
)

// checked is a method whose parameters may be at odds with each other or with a prior. deviation is that of the
// measurement's noise, leastNoise at the least.
type checked interface {
	check(m prior.Prior, deviation float64) error
}

// Check reports what is wrong with the parameters of a method: a value that is out of range, values that are at odds
// with each other, and, as a [*Refused], those that the prior m, which may be nil, has no use for. sigma is the
// deviation of the measurement's noise on [-1,1]. Solve does the same before its first step.
func Check(m prior.Prior, method Method, sigma float64) error {
	if isNil(method) {
		return errors.New("method is nil, want one such as that of solver.Lookup")
	}
	if err := param.Check(method); err != nil {
		return err
	}
	if c, ok := method.(checked); ok {
		return c.check(m, max(sigma, leastNoise))
	}
	return nil
}

func (o Equivariant) check(m prior.Prior, _ float64) error {
	if _, latent := m.(prior.Codec); latent && o.Orientations > 0 {
		return &Refused{fmt.Sprintf("orientations %d needs a pixel model, and %q works on latents, which cannot be "+
			"flipped: want 0", o.Orientations, m.Info().Name)}
	}
	return nil
}

func (o *DiffPIR) check(m prior.Prior, deviation float64) error {
	from, to := o.span(deviation)
	switch {
	case from < to:
		return fmt.Errorf("from %g is less than to %g: the noise must fall", from, to)
	case o.Coarse > 0 && o.Refine < to:
		return fmt.Errorf("refine %g is less than to %g: the noise must fall", o.Refine, to)
	}
	return o.Equivariant.check(m, deviation)
}

func (o *LatentDAPS) check(prior.Prior, float64) error {
	if o.From <= o.To {
		return fmt.Errorf("from %g is not more than to %g: the noise must fall", o.From, o.To)
	}
	return nil
}

func (o *DPM) check(m prior.Prior, _ float64) error {
	if o.Fits > o.Steps {
		return fmt.Errorf("fits %d is more than steps %d, want as many at the most", o.Fits, o.Steps)
	}
	if m == nil {
		return nil
	}
	if from, to := o.levels(m.Schedule()); o.Steps > 1 && from <= to {
		return errors.New("the noise of the last step is not below that of the first: take a lower to or more strength")
	}
	return nil
}

func (o *TV) check(prior.Prior, float64) error {
	rho := o.penalty()
	if least, most := 1e-3*o.Lambda, 1e6*o.Lambda; rho < least || rho > most { // thousands of steps would not do
		return fmt.Errorf("rho %v: want 0, or %.3g to %.3g with lambda %v", rho, least, most, o.Lambda)
	}
	return nil
}

// deviation is that of the measurement's noise, leastNoise at the least.
func (r *Run) deviation() float64 { return math.Sqrt(r.variance()) }
