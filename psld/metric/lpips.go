package metric

import (
	_ "embed" // the linear heads
	"fmt"
	"math"

	"psld/autograd"
	"psld/nn"
	"psld/psld/picture"
	"psld/tensor"
	"psld/tensor/cpu"
	"psld/weights"
)

// headsFile holds the linear heads of LPIPS v0.1 ("alex.lin0.model.1.weight" [1,C,1,1] and so on), unchanged:
// BSD-2-Clause, see NOTICE.
//
//go:embed lpips_heads.safetensors
var headsFile []byte

// LPIPS is the learned perceptual distance of Zhang et al. 2018 ("The Unreasonable Effectiveness of Deep Features as a
// Perceptual Metric"), version 0.1 without spatial maps, in float32: features of both pictures after each tapped ReLU
// of a classifier, normalised to length 1 at each pixel; the squared differences weighted by the head of that tap,
// meaned over the pixels, and summed over the taps. It is 0 for equal pictures. It is safe for concurrent use.
type LPIPS struct {
	net   *network
	heads [][]float32
}

// lpips is the list's entry of LPIPS on a network.
func lpips(name string, arch architecture) Entry {
	info := Info{Name: name, Title: "LPIPS " + arch.title, Digits: 4, Flag: "lpips-weights", File: arch.file,
		Needs: "torchvision's weights of " + arch.title + " trained on ImageNet: " + arch.file +
			" from download.pytorch.org/models, or a safetensors file of its state dictionary"}
	return Entry{info, func(path string) (Metric, error) {
		l, err := openLPIPS(path, arch)
		if err != nil {
			return nil, fmt.Errorf("metric %s: %w", name, err)
		}
		return PerPicture(info, l.Distance), nil
	}, PerPicture(info, nil)}
}

func openLPIPS(path string, arch architecture) (*LPIPS, error) {
	f, err := weights.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return newLPIPS(weights.NewSet(f), arch)
}

// newLPIPS reads the network from src, which has torchvision's names.
func newLPIPS(src nn.Source, arch architecture) (*LPIPS, error) {
	l := &LPIPS{net: newNetwork(arch)}
	if err := l.net.params.LoadFrozen(src, cpu.F32); err != nil {
		return nil, err
	}
	heads, err := weights.Parse(headsFile)
	if err != nil {
		return nil, err
	}
	for i := range l.net.taps {
		h, err := heads.Float32(fmt.Sprintf("%s.lin%d.model.1.weight", arch.heads, i))
		if err != nil {
			return nil, err
		}
		l.heads = append(l.heads, h)
	}
	return l, nil
}

// Distance is LPIPS between two pictures of the same size, clipped to [-1,1]. Pictures that leave no pixel at the last
// tap are an error.
func (l *LPIPS) Distance(restored, truth *picture.Picture) (float64, error) {
	layers, err := l.Layers(restored, truth)
	var sum float64
	for _, v := range layers {
		sum += v
	}
	return sum, err
}

// Layers is the share of each tap in Distance.
func (l *LPIPS) Layers(restored, truth *picture.Picture) ([]float64, error) {
	h, w := truth.H, truth.W
	if min(h, w) < l.net.least {
		return nil, fmt.Errorf("metric: LPIPS %s needs at least %d pixels a side, the picture is %dx%d",
			l.net.arch.title, l.net.least, w, h)
	}
	x := tensor.New(2, h, w, 3)
	for i, p := range []*picture.Picture{restored, truth} {
		for k, v := range p.Pix {
			// The network's own normalisation, in the scaling layer of LPIPS.
			x.Data[i*h*w*3+k] = (min(max(v, -1), 1) - shift[k%3]) / scale[k%3]
		}
	}
	g := autograd.NoGrad(cpu.F32)
	defer g.Release()
	var layers []float64
	for i, f := range l.net.forward(g, g.Const(x)) {
		layers = append(layers, distance(cpu.F32.Host(f.T), l.heads[i]))
	}
	return layers, nil
}

// Means and deviations of ImageNet's channels on [-1,1].
var shift, scale = [3]float32{-.030, -.088, -.188}, [3]float32{.458, .448, .450}

// distance compares the two halves of features [2, H, W, C].
func distance(f, head []float32) float64 {
	c := len(head)
	n := len(f) / 2
	length := func(v []float32) float64 {
		var s float64
		for _, x := range v {
			s += float64(x) * float64(x)
		}
		return math.Sqrt(s) + 1e-10
	}
	var sum float64
	for p := 0; p < n; p += c {
		a, b := f[p:p+c], f[n+p:n+p+c]
		la, lb := length(a), length(b)
		for i, w := range head {
			d := float64(a[i])/la - float64(b[i])/lb
			sum += float64(w) * d * d
		}
	}
	return sum / float64(n/c)
}
