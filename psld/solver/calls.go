package solver

import (
	"math"

	"psld/psld/schedule"
)

// Calls are how often a run goes through each network, forward and back.
type Calls struct{ UNet, Decoder, Encoder Passes }

// Counted is a method that tells the calls of its steps before it runs: those that do not go forward through UNet,
// decoder and encoder once in each step, and back where they need gradients.
type Counted interface{ Calls() Calls }

// Cost is what the calls take in all, a being what one pass of each kind takes: seconds, or multiply-adds.
func (c Calls) Cost(a Timing) float64 {
	one := func(n, s Passes) float64 { return n.Forward*s.Forward + n.Backward*s.Backward }
	return one(c.UNet, a.UNet) + one(c.Decoder, a.Decoder) + one(c.Encoder, a.Encoder)
}

// CallsOf are those of a run of a method of that many steps.
func CallsOf(m Method, steps int) Calls {
	c := callsOf(m, steps)
	if n, ok := m.(equivariant); ok {
		c.UNet.Forward *= n.estimates()
		c.UNet.Backward *= n.estimates()
	}
	return c
}

// callsOf are those with one noise estimate where it asks for one.
func callsOf(m Method, steps int) Calls {
	if c, ok := m.(Counted); ok {
		return c.Calls()
	}
	each := Passes{Forward: float64(steps)}
	if SpecOf(m).Needs.Gradient {
		each.Backward = float64(steps)
	}
	return Calls{each, each, each}
}

// ofHops are those of a number of hops. A fit takes the decoder and the encoder once; a fit at the end has no encoder,
// the start picture has.
func ofHops(hops int, fits float64) Calls {
	codec := Passes{Forward: fits}
	return Calls{UNet: Passes{Forward: float64(hops)}, Decoder: codec, Encoder: codec}
}

// every is how many of n steps are fits, if each k-th one is.
func every(n, k int) float64 { return math.Ceil(float64(n) / float64(max(1, k))) }

// Calls implements [Counted].
func (o *PSLD) Calls() Calls {
	n := float64(o.Steps)
	c := Calls{UNet: Passes{n, n}, Decoder: Passes{n, n}}
	if o.JacobianFree {
		c.UNet.Backward = 0
	}
	if o.Gamma > 0 {
		glued := every(o.Steps, o.GluingEvery)
		c.Encoder = Passes{glued, glued}
	}
	return c
}

// Calls implements [Counted].
func (o *DiffPIR) Calls() Calls {
	c := ofHops(o.Steps, every(o.Steps, o.FitEvery))
	work := 0.0 // over that of a resolution
	for k := range o.Coarse + 1 {
		work += math.Pow(4, -float64(k))
	}
	for _, p := range []*Passes{&c.UNet, &c.Decoder, &c.Encoder} {
		p.Forward *= work
	}
	return c
}

// Calls implements [Counted].
func (o *LATINO) Calls() Calls {
	n := int(float64(o.Steps) * o.Strength)
	return ofHops(n, float64(n))
}

// Calls implements [Counted].
func (o *TReg) Calls() Calls {
	share := max(0, 1-o.FitUntil/o.Strength) // of the steps
	c := ofHops(o.Steps, every(int(share*float64(o.Steps)+0.5), o.FitEvery))
	for _, p := range []*Passes{&c.UNet, &c.Decoder, &c.Encoder} {
		p.Forward *= 1 - 0.75*o.Half // a pass at half the resolution is a quarter
	}
	c.Decoder.Forward++
	c.Encoder.Forward++
	return c
}

// Calls implements [Counted].
func (o *DCDP) Calls() Calls { return ofHops(o.Rounds*o.Steps, float64(o.Rounds)) }

// Calls implements [Counted].
func (o *Guess) Calls() Calls {
	return ofHops(o.Guesses+o.Steps, float64(1+o.Guesses)+every(o.Steps-1, o.FitEvery))
}

// Calls implements [Counted].
func (o *DPM) Calls() Calls {
	return ofHops(o.Steps, float64(1+min(o.Fits, o.Steps-1)))
}

// Calls implements [Counted].
func (o *DING) Calls() Calls {
	passes := 2*o.Steps + 1
	if o.Delayed {
		passes = o.Steps + 1
	}
	return Calls{UNet: Passes{Forward: float64(passes)}, Decoder: Passes{Forward: 1}, Encoder: Passes{Forward: 1}}
}

// Calls implements [Counted]. They are those with the noise schedule of Stable Diffusion.
func (o *LanPaint) Calls() Calls {
	passes := float64(len(o.passes(schedule.StableDiffusion())))
	return Calls{UNet: Passes{Forward: passes}, Decoder: Passes{Forward: 1}, Encoder: Passes{Forward: 1}}
}

// Calls implements [Counted].
func (o *LatentDAPS) Calls() Calls {
	inner := float64(o.Steps * o.Inner)
	return Calls{UNet: Passes{Forward: float64(o.Flow * o.Steps)}, Decoder: Passes{inner, inner}}
}

// Calls implements [Counted].
func (o *STSL) Calls() Calls {
	inner := float64(o.Steps * o.Inner)
	c := Calls{UNet: Passes{inner + float64(o.Steps), inner}, Decoder: Passes{inner, inner}}
	switch {
	case o.JacobianFree:
		c.UNet.Backward = 0
	case o.Trace > 0:
		c.UNet = Passes{2*inner + float64(o.Steps), 2 * inner}
	}
	return c
}
