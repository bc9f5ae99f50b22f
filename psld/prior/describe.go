package prior

import "fmt"

// Parameters is the number of parameters of a prior's networks, a text encoder among them; 0 for none.
func Parameters(p Prior) int {
	if Check(p) != nil {
		return 0
	}
	n := 0
	for _, net := range p.Networks() {
		n += net.Params.Count()
	}
	if m, ok := p.(*LatentDiffusion); ok && m.Text != nil {
		n += m.Text.Params.Count()
	}
	return n
}

// Describe tells in words what a prior is.
func Describe(p Prior) string {
	if err := Check(p); err != nil {
		return err.Error()
	}
	info := p.Info()
	s := info.Name
	if n := Parameters(p); n > 0 {
		s += fmt.Sprintf(", %.2f million parameters", float64(n)/1e6)
	}
	if info.TrainSize > 0 {
		s += fmt.Sprintf(", trained at %dx%d", info.TrainSize, info.TrainSize)
	}
	return s
}

// Layout tells in words how a picture of w x h pixels goes through a prior: in one piece, or in windows and tiles.
func Layout(p Prior, w, h int) string {
	latent, isLatent := p.(*LatentDiffusion)
	window := WindowOf(p)
	how := "in one piece"
	if window > 0 && max(w, h) > window {
		how = fmt.Sprintf("in overlapping windows of %d pixels, blended in every step", window)
	}
	if isLatent && w*h > WholePixels {
		how += fmt.Sprintf(", autoencoder in overlapping tiles of %d pixels", Tile)
	}
	if isLatent && latent.TrainSize > 0 && max(w, h) > latent.TrainSize {
		how += fmt.Sprintf(" (larger than the %dx%d pictures of the training)", latent.TrainSize, latent.TrainSize)
	}
	return how
}

// WindowOf is the side in pixels of what a prior's network sees of a picture at once, 0 for all of it.
func WindowOf(p Prior) int {
	switch m := p.(type) {
	case *LatentDiffusion:
		return m.Window
	case *Pixel:
		return m.Window
	}
	return 0
}
