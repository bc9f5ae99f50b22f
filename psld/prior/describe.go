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
	wh, ww := SeenAtOnce(p, h, w)
	how := "in one piece"
	if wh*ww < w*h {
		how = fmt.Sprintf("in overlapping windows of %dx%d pixels, blended in every step", ww, wh)
	}
	if isLatent && !latent.decodesWhole(h, w) {
		how += fmt.Sprintf(", autoencoder in overlapping tiles of up to %d pixels", Tile)
	}
	if isLatent && latent.TrainSize > 0 && max(w, h) > latent.TrainSize {
		how += fmt.Sprintf(" (larger than the %dx%d pictures of the training)", latent.TrainSize, latent.TrainSize)
	}
	return how
}

// SeenAtOnce is the part of a picture of h x w pixels that a prior's network sees at once, in pixels.
func SeenAtOnce(p Prior, h, w int) (int, int) {
	switch m := p.(type) {
	case *LatentDiffusion:
		if m.Window == 0 || m.inOnePiece(h, w) || max(h, w) <= m.Window {
			return h, w
		}
		side, step := (m.Window+m.Multiple()-1)/m.Multiple()*m.Multiple(), m.Multiple()
		return fit(h, side, side/4, step), fit(w, side, side/4, step)
	case *Pixel:
		if side := m.side(); m.Window > 0 {
			return fit(h, side, m.overlap(), m.Multiple()), fit(w, side, m.overlap(), m.Multiple())
		}
	}
	return h, w
}
