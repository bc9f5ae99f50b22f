package train

import (
	"fmt"
	"math/rand/v2"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"

	"psld/nn"
	"psld/tensor"
	"psld/vae"
)

// startFromPCA sets an autoencoder of patches, with one level, to the best linear code of the photos' patches: their
// first LatentChannels principal components. Trained on from there it never has to find the code by itself: 8 of the
// 12 numbers of a 2x2 patch keep 41 dB before the first step.
//
// A linear map passes a network without norms as it is, since silu(a) - silu(-a) = a: each component takes two
// channels, one of each sign. Residual blocks end in zeros at this time.
func startFromPCA(m *vae.Model, photos *Photos, seed uint64) error {
	const crops, size = 256, 64
	const logVar = -9 // of the latents at the start: a deviation of 0.01
	pixels, latents, width := m.InChannels*m.PatchSize*m.PatchSize, m.LatentChannels, m.BlockOutChannels[0]
	if latents > pixels || 2*latents > width || m.NormNumGroups != 0 || len(m.BlockOutChannels) != 1 {
		return fmt.Errorf("an autoencoder of patches of %d numbers has %d latent channels, %v channels and %d groups of "+
			"its "+
			"norms: want one resolution, at least twice as many channels as latent ones, and 0 groups", pixels, latents,
			m.BlockOutChannels, m.NormNumGroups)
	}
	rows := patches(photos.Batch(rand.New(rand.NewPCG(seed, 0)), crops, size), m.PatchSize)
	var pc stat.PC
	if !pc.PrincipalComponents(rows, nil) {
		return fmt.Errorf("the principal components of the photos' patches cannot be computed")
	}
	var v mat.Dense // [pixels, components]
	pc.VectorsTo(&v)
	mean := make([]float64, pixels)
	for k := range mean {
		mean[k] = stat.Mean(mat.Col(nil, k, rows), nil)
	}

	p := paramsOf(m.Params)
	in, inBias := p["encoder.conv_in.weight"], p["encoder.conv_in.bias"]
	out, outBias := p["encoder.conv_out.weight"], p["encoder.conv_out.bias"]
	back, backBias := p["decoder.conv_in.weight"], p["decoder.conv_in.bias"]
	last, lastBias := p["decoder.conv_out.weight"], p["decoder.conv_out.bias"]
	clear(out.Data)
	clear(outBias.Data)
	clear(last.Data)
	for j := range latents {
		for s, sign := range []float32{1, -1} {
			c := 2*j + s
			clear(row(in, c))
			clear(row(back, c))
			inBias.Data[c], backBias.Data[c] = 0, 0
			*centre(back, c, j) = sign
			*centre(out, j, c) = sign
			for k := range pixels {
				*centre(in, c, k) = sign * float32(v.At(k, j))
				inBias.Data[c] -= sign * float32(v.At(k, j)*mean[k])
				*centre(last, k, c) = sign * float32(v.At(k, j))
			}
		}
		outBias.Data[latents+j] = logVar
	}
	for k := range pixels {
		lastBias.Data[k] = float32(mean[k])
	}
	identity(p["quant_conv.weight"], p["quant_conv.bias"])
	identity(p["post_quant_conv.weight"], p["post_quant_conv.bias"])
	for _, q := range m.Params.All() {
		q.Value.Changed()
	}
	return nil
}

// patches are the squares of size x size of pictures x[N,H,W,C] as rows, in the order in which vae folds them.
func patches(x *tensor.Tensor, size int) *mat.Dense {
	n, h, w, c := x.Dim(0), x.Dim(1), x.Dim(2), x.Dim(3)
	var all []float64
	for i := range n {
		for y := 0; y < h; y += size {
			for at := 0; at < w; at += size {
				for dy := range size {
					for _, v := range x.Data[((i*h+y+dy)*w+at)*c:][:size*c] {
						all = append(all, float64(v))
					}
				}
			}
		}
	}
	return mat.NewDense(len(all)/(size*size*c), size*size*c, all)
}

// paramsOf are the tensors of parameters by name.
func paramsOf(p *nn.Params) map[string]*tensor.Tensor {
	all := map[string]*tensor.Tensor{}
	for _, q := range p.All() {
		all[q.Name] = q.Value.T
	}
	return all
}

// row is what a convolution's weight w[O,I,KH,KW] holds for output o.
func row(w *tensor.Tensor, o int) []float32 {
	n := w.Len() / w.Dim(0)
	return w.Data[o*n : (o+1)*n]
}

// centre is the middle tap of a convolution's weight w[O,I,K,K], for output o and input i.
func centre(w *tensor.Tensor, o, i int) *float32 {
	k := w.Dim(3)
	return &row(w, o)[i*k*k+k*k/2]
}

// identity makes a convolution of 1x1 copy its input.
func identity(w, bias *tensor.Tensor) {
	clear(w.Data)
	clear(bias.Data)
	for i := range w.Dim(0) {
		*centre(w, i, i) = 1
	}
}
