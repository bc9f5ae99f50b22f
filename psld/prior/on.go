package prior

import "psld/tensor"

// On is the same model, on the device that it was loaded for or one that wraps that.
func (p *Latent) On(dev tensor.Device) *Latent {
	m := *p
	m.device = dev
	return &m
}
