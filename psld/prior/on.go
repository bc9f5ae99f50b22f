package prior

import "psld/tensor"

// On is the same model, on the device that it was loaded for or one that wraps that.
func (p *LatentDiffusion) On(dev tensor.Device) *LatentDiffusion {
	m := *p
	m.device = dev
	return &m
}

// On is the same model, on the device that it was loaded for or one that wraps that.
func (p *Pixel) On(dev tensor.Device) *Pixel {
	m := *p
	m.device = dev
	return &m
}
