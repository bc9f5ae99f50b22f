package vae

import (
	"math"
	"sync"

	"psld/autograd"
	"psld/tensor/cpu"
)

// Quantize replaces every pixel of the latent z [N, h, w, C] by the nearest row
// of the codebook in the Euclidean sense, the first of equals. A pixel that is
// not finite becomes NaN. The gradient passes straight through, as if Quantize
// were the identity; the codebook gets none. It panics without a codebook.
func (m *Model) Quantize(g *autograd.Graph, z *autograd.Value) *autograd.Value {
	if m.codebook == nil {
		panic("vae: Quantize of a model without a codebook")
	}
	codes := g.Device().Host(m.codebook.T)
	return g.Map(z, z.T.Shape,
		func(dst, src []float32) { nearest(dst, src, codes, m.LatentChannels) },
		func(dst, src []float32) { copy(dst, src) })
}

// nearest writes to dst, for each row of c numbers in src, the nearest row of codes.
func nearest(dst, src, codes []float32, c int) {
	workers := cpu.Threads()
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for at := w * c; at < len(src); at += workers * c {
				copy(dst[at:at+c], nearestRow(src[at:at+c], codes))
			}
		})
	}
	wg.Wait()
}

// nearestRow is the row of codes nearest to px.
func nearestRow(px, codes []float32) []float32 {
	best := float32(math.Inf(1))
	row := -1
	for i := 0; i < len(codes); i += len(px) {
		var d float32
		for j, e := range codes[i : i+len(px)] {
			e -= px[j]
			d += e * e
		}
		if d < best {
			best, row = d, i
		}
	}
	if row < 0 { // no distance is a number
		nan := make([]float32, len(px))
		for j := range nan {
			nan[j] = float32(math.NaN())
		}
		return nan
	}
	return codes[row : row+len(px)]
}
