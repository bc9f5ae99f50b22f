package prior

import "errors"

// Validate is an error for a model without its networks: make one with [Open], [Default] or [RandomTiny].
func (p *LatentDiffusion) Validate() error {
	switch {
	case p == nil:
		return errors.New("the model is nil")
	case p.UNet == nil || p.UNet.Params == nil:
		return errors.New("the model has no UNet: prior.Open makes a whole one")
	case p.VAE == nil || p.VAE.Params == nil:
		return errors.New("the model has no VAE: prior.Open makes a whole one")
	}
	return nil
}

// Validate is an error for a model without its network: make one with [OpenPixel] or [DefaultPixel].
func (p *Pixel) Validate() error {
	switch {
	case p == nil:
		return errors.New("the model is nil")
	case p.UNet == nil || p.UNet.Params == nil:
		return errors.New("the model has no UNet: prior.OpenPixel makes a whole one")
	}
	return nil
}

// Validate is an error for a distribution without size or schedule: make one with [NewGaussian] or [NewGaussianCov].
func (p *Gaussian) Validate() error {
	switch {
	case p == nil:
		return errors.New("the model is nil")
	case p.H < 1 || p.W < 1 || len(p.noise.AlphasCumprod) == 0:
		return errors.New("the normal distribution has no size: prior.NewGaussian makes a whole one")
	}
	return nil
}

// Check is an error for a prior that is nil, or not whole.
func Check(p Prior) error {
	if p == nil {
		return errors.New("there is no model")
	}
	if v, ok := p.(interface{ Validate() error }); ok {
		return v.Validate()
	}
	return nil
}
