package operator

import (
	"bufio"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"slices"

	"psld/internal/atomicfile"
)

// Kernel is a square blur kernel: W holds Size*Size weights in row order, the centre at (Size/2, Size/2). Operators
// correlate with it, as the published code does: the picture of a bright point, which is what people call the kernel
// of a blur, is the kernel turned by 180 degrees (Turned).
type Kernel struct {
	Size int
	W    []float64
}

// Width is the standard deviation of the kernel in pixels, the root of the mean over both axes. Of a Gaussian it is
// its own.
func (k *Kernel) Width() float64 {
	var sum, mean, square [2]float64
	for i, w := range k.W {
		for axis, at := range [2]float64{float64(i % k.Size), float64(i / k.Size)} {
			sum[axis], mean[axis], square[axis] = sum[axis]+w, mean[axis]+w*at, square[axis]+w*at*at
		}
	}
	variance := 0.0
	for axis, n := range sum {
		m := mean[axis] / n
		variance += (square[axis]/n - m*m) / 2
	}
	return math.Sqrt(max(0, variance))
}

// maxKernel bounds the side of a kernel from a file.
const maxKernel = 1001

// check reports kernels that cannot blur.
func (k *Kernel) check() error {
	if k == nil {
		return errors.New("operator: no blur kernel: it is nil")
	}
	if k.Size < 1 || k.Size%2 == 0 || len(k.W) != k.Size*k.Size {
		return fmt.Errorf("operator: blur kernel of size %d with %d weights: "+
			"the size must be odd and the weights size*size", k.Size, len(k.W))
	}
	zero := true
	for _, v := range k.W {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("operator: blur kernel holds %v: weights must be finite", v)
		}
		zero = zero && v == 0
	}
	if zero {
		return fmt.Errorf("operator: blur kernel of size %d is zero everywhere", k.Size)
	}
	return nil
}

// Turned returns the kernel turned by 180 degrees: it makes a correlation of a convolution, and the other way round.
func (k *Kernel) Turned() *Kernel {
	t := &Kernel{k.Size, append([]float64(nil), k.W...)}
	slices.Reverse(t.W)
	return t
}

// NewKernel returns a kernel of size*size weights in row order, scaled to sum 1. An even size, a wrong number of
// weights, weights that are not finite and a sum that is not positive are errors.
func NewKernel(size int, w []float64) (*Kernel, error) {
	k := &Kernel{size, append([]float64(nil), w...)}
	if err := k.check(); err != nil {
		return nil, err
	}
	var sum float64
	for _, v := range w {
		sum += v
	}
	if !(sum > 0) {
		return nil, fmt.Errorf("operator: blur kernel weights sum to %g, want more than 0", sum)
	}
	for i := range k.W {
		k.W[i] /= sum
	}
	return k, nil
}

// Gaussian returns the Gaussian kernel of the DPS code: scipy.ndimage.gaussian_filter of a delta in a size x size
// window. The weights are cut at radius int(4*std+0.5) and normalised before the window; what falls outside the window
// is mirrored back. size must be odd, std (pixels) positive.
func Gaussian(size int, std float64) (*Kernel, error) {
	if size < 1 || size%2 == 0 || size > maxKernel {
		return nil, fmt.Errorf("operator: Gaussian kernel size %d must be odd and at most %d", size, maxKernel)
	}
	if !(std > 0) || std > maxKernel {
		return nil, fmt.Errorf("operator: Gaussian kernel std %g must be positive and at most %d pixels",
			std, maxKernel)
	}
	r := int(4*std + 0.5)
	var sum float64
	g := make([]float64, 2*r+1)
	for d := -r; d <= r; d++ {
		g[d+r] = math.Exp(-0.5 * float64(d*d) / (std * std))
		sum += g[d+r]
	}
	line := make([]float64, size)
	for i := range line {
		for d := -r; d <= r; d++ {
			if mirror(i+d, size) == size/2 {
				line[i] += g[d+r] / sum
			}
		}
	}
	k := &Kernel{size, make([]float64, size*size)}
	for i := range k.W {
		k.W[i] = line[i/size] * line[i%size]
	}
	return k, nil
}

// MotionKernel returns the trace of a shaking camera: a smooth random path drawn into a size x size window, centred on
// its centre of mass and scaled to sum 1. intensity in [0,1] goes from a straight line (0) to a strongly curled path
// (1). The same seed gives the same kernel everywhere. size must be odd and at least 3.
func MotionKernel(size int, intensity float64, seed uint64) (*Kernel, error) {
	if size < 3 || size%2 == 0 || size > maxKernel {
		return nil, fmt.Errorf("operator: motion kernel size %d must be odd, at least 3 and at most %d",
			size, maxKernel)
	}
	if !(intensity >= 0 && intensity <= 1) {
		return nil, fmt.Errorf("operator: motion kernel intensity %g must lie in [0,1]", intensity)
	}
	rng := newRand(seed, streamMotion)
	// The heading turns with an inertial random rate; a few sharp jerks come with high intensity.
	const steps = 400
	heading, turn := 2*math.Pi*rng.Float64(), 0.0
	xs, ys := make([]float64, steps), make([]float64, steps)
	var x, y, mx, my float64
	for i := range steps {
		turn = 0.95*turn + 0.02*intensity*rng.NormFloat64()
		heading += turn
		if rng.Float64() < 0.01*intensity {
			heading += math.Pi * (rng.Float64() - 0.5)
		}
		x, y = x+math.Cos(heading), y+math.Sin(heading)
		xs[i], ys[i] = x, y
		mx, my = mx+x/steps, my+y/steps
	}
	reach := 0.0 // of the path from its centre of mass, to scale it into the window
	for i := range steps {
		reach = max(reach, math.Abs(xs[i]-mx), math.Abs(ys[i]-my))
	}
	r := float64(size / 2)
	scale := r * (0.7 + 0.3*rng.Float64()) / reach
	w := make([]float64, size*size)
	for i := range steps {
		splat(w, size, r+(xs[i]-mx)*scale, r+(ys[i]-my)*scale)
	}
	return NewKernel(size, w)
}

// LineKernel returns the trace of a camera that moved evenly along a straight line: length pixels long (at least 1, of
// which 1 blurs nothing), at angle degrees from the horizontal, counter-clockwise as one looks at the picture (the
// convention of MATLAB's fspecial). It is the same turned by 180 degrees. The weights are the line's shares of the
// pixels, found with a hat of one pixel's width.
func LineKernel(length, angle float64) (*Kernel, error) {
	if !(length >= 1 && length <= maxKernel-4) {
		return nil, fmt.Errorf("operator: motion length %g must lie in [1,%d] pixels", length, maxKernel-4)
	}
	if math.IsNaN(angle) || math.IsInf(angle, 0) {
		return nil, fmt.Errorf("operator: motion angle %g must be a number of degrees", angle)
	}
	sin, cos := math.Sincos(angle * math.Pi / 180)
	r := int(math.Ceil((length-1)/2)) + 1
	size, steps := 2*r+1, 16*int(math.Ceil(length))
	w := make([]float64, size*size)
	for i := range 2*steps + 1 { // symmetric about the middle
		along := (length - 1) / 2 * float64(i-steps) / float64(steps)
		splat(w, size, float64(r)+along*cos, float64(r)-along*sin)
	}
	return NewKernel(size, w)
}

// splat adds a unit of light at (x, y) by bilinear weights.
func splat(w []float64, size int, x, y float64) {
	x0, y0 := int(x), int(y)
	fx, fy := x-float64(x0), y-float64(y0)
	x1, y1 := min(x0+1, size-1), min(y0+1, size-1)
	w[y0*size+x0] += (1 - fy) * (1 - fx)
	w[y0*size+x1] += (1 - fy) * fx
	w[y1*size+x0] += fy * (1 - fx)
	w[y1*size+x1] += fy * fx
}

// LoadKernel reads a kernel from a grey PNG (colour is turned to grey) and scales it to sum 1. The file is a
// point-spread function: how the blur draws a bright point. The picture must be square with an odd side of at most
// 1001 pixels and not be black.
func LoadKernel(path string) (*Kernel, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("operator: blur kernel: %w", err)
	}
	defer f.Close()
	cfg, err := png.DecodeConfig(bufio.NewReader(f))
	if err != nil {
		return nil, fmt.Errorf("operator: blur kernel %s: not a readable PNG: %w", path, err)
	}
	if cfg.Width != cfg.Height || cfg.Width%2 == 0 || cfg.Width > maxKernel {
		return nil, fmt.Errorf("operator: blur kernel %s is %dx%d: it must be square with an odd side of at most %d",
			path, cfg.Width, cfg.Height, maxKernel)
	}
	if _, err := f.Seek(0, 0); err != nil {
		return nil, fmt.Errorf("operator: blur kernel %s: %w", path, err)
	}
	img, err := png.Decode(bufio.NewReader(f))
	if err != nil {
		return nil, fmt.Errorf("operator: blur kernel %s: not a readable PNG: %w", path, err)
	}
	n := cfg.Width
	w := make([]float64, n*n)
	for i := range w {
		w[i] = float64(color.Gray16Model.Convert(img.At(i%n, i/n)).(color.Gray16).Y)
	}
	k, err := NewKernel(n, w)
	if err != nil {
		return nil, fmt.Errorf("operator: blur kernel %s is black: it needs a pixel that is not zero", path)
	}
	return k.Turned(), nil
}

// SaveKernel writes the kernel as a 16-bit grey PNG that LoadKernel reads: the point-spread function, its largest
// weight white. Negative weights are written as zero.
func SaveKernel(path string, k *Kernel) error {
	if err := k.check(); err != nil {
		return err
	}
	var peak float64
	for _, v := range k.W {
		peak = max(peak, v)
	}
	img := image.NewGray16(image.Rect(0, 0, k.Size, k.Size))
	for i, v := range k.Turned().W {
		img.SetGray16(i%k.Size, i/k.Size, color.Gray16{Y: uint16(math.Round(max(v, 0) / peak * 65535))})
	}
	if err := atomicfile.Write(path, func(w io.Writer) error { return png.Encode(w, img) }); err != nil {
		return fmt.Errorf("operator: blur kernel %s: %w", path, err)
	}
	return nil
}

// Each random maker draws from its own stream, so that a mask and a noise of the same seed are independent.
const (
	streamMotion = iota + 1
	streamMask
	streamBox
	streamGaussian
	streamPoisson
	streamSaltPepper
)

func newRand(seed, stream uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, stream)) }
