package psld

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"psld/psld/metric"
	"psld/psld/operator"
	"psld/psld/picture"
	"psld/psld/prior"
	"psld/psld/solver"
)

// EvalOptions steer Evaluate. Zero fields mean the defaults given.
type EvalOptions struct {
	Tasks   []Task   // default: all but Inpaint
	Methods []string // names of solver methods, and "tv"; default tv, ldps, gmldps, psld
	Sigma   float64  // of the measurement noise on [-1,1]; 0 means none
	Seed    uint64   // picture i has the damage and noise of Seed+i
	Solve   Options  // of the solvers; Method and Seed are set by Evaluate, Keep is left out
	// Progress is called after every picture.
	Progress func(task Task, method string, done, of int)
}

// MaxPSNR is what equal pictures count as in means: their PSNR is infinite.
const MaxPSNR = 99

// Score is a mean over pictures.
type Score struct {
	Task    Task
	Method  string // "measurement" (bicubic enlargement for sr4) and those of EvalOptions
	N       int
	PSNR    float64 // dB
	SSIM    float64
	Seconds float64 // of wall clock per picture, GOMAXPROCS pictures at a time
}

// tvWeights are the best of a grid on 16 other validation photos at 64x64 and noise 0.05.
var tvWeights = map[Task]float64{InpaintRandom: 0.003, InpaintBox: 0.03, SR4: 0.005, DeblurGaussian: 0.005, DeblurMotion: 0.01, Denoise: 0.03, Inpaint: 0.003}

// Compare says how close y is to the true picture x of the same size: PSNR in dB, at most
// MaxPSNR, and SSIM.
func Compare(x, y *picture.Picture) (psnr, ssim float64, err error) {
	a, b := metric.Unit(x.Pix), metric.Unit(y.Pix)
	ssim, err = metric.SSIM(a, b, x.H, x.W, 3, 1, metric.Uniform7)
	return min(metric.PSNR(a, b, 1), MaxPSNR), ssim, err
}

// EvalDamage is NewDamage with kernels that suit small pictures: a Gaussian of 3/256 of the
// side, but at least 1.5 pixels.
func EvalDamage(t Task, h, w int, seed uint64) (Damage, error) {
	d, err := NewDamage(t, h, w, seed)
	if err == nil && t == DeblurGaussian {
		std := max(1.5, 3*float64(min(h, w))/256)
		d.Kernel, err = operator.Gaussian(2*int(4*std+0.5)+1, std)
	}
	return d, err
}

// Evaluate damages pictures of one size, restores them by every method and returns the mean scores,
// task by task: first that of the measurement, then the methods in their order.
func Evaluate(ctx context.Context, m prior.Prior, pics []*picture.Picture, o EvalOptions) ([]Score, error) {
	if o.Tasks == nil {
		o.Tasks = Tasks[1:]
	}
	if o.Methods == nil {
		o.Methods = []string{"tv", "ldps", "gmldps", "psld"}
	}
	var scores []Score
	for _, task := range o.Tasks {
		for _, method := range append([]string{"measurement"}, o.Methods...) {
			s, err := evaluate(ctx, m, pics, o, task, method)
			if err != nil {
				return scores, fmt.Errorf("%s, %s: %w", task, method, err)
			}
			scores = append(scores, s)
		}
	}
	return scores, nil
}

func evaluate(ctx context.Context, m prior.Prior, pics []*picture.Picture, o EvalOptions, task Task, method string) (Score, error) {
	s := Score{Task: task, Method: method, N: len(pics)}
	psnr, ssim, errs := make([]float64, len(pics)), make([]float64, len(pics)), make([]error, len(pics))
	start := time.Now()
	ctx, cancel := context.WithCancel(ctx) // the first error stops the other pictures
	defer cancel()
	var wg sync.WaitGroup
	var mu sync.Mutex
	done := 0
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i, x := range pics {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			var r *picture.Picture
			if r, errs[i] = restoreOne(ctx, m, x, o, task, method, o.Seed+uint64(i)); errs[i] != nil {
				cancel()
				return
			}
			psnr[i], ssim[i], errs[i] = Compare(x, r)
			if o.Progress != nil {
				mu.Lock()
				done++
				o.Progress(task, method, done, len(pics))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil && !errors.Is(err, context.Canceled) {
			return s, fmt.Errorf("picture %d: %w", i, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return s, err
	}
	for i := range pics {
		s.PSNR += psnr[i] / float64(len(pics))
		s.SSIM += ssim[i] / float64(len(pics))
	}
	s.Seconds = time.Since(start).Seconds() / float64(len(pics))
	return s, nil
}

// restoreOne damages x and restores it by one method.
func restoreOne(ctx context.Context, m prior.Prior, x *picture.Picture, o EvalOptions, task Task, method string, seed uint64) (*picture.Picture, error) {
	d, err := EvalDamage(task, x.H, x.W, seed)
	if err != nil {
		return nil, err
	}
	y, err := Measure(x, d, o.Sigma, seed)
	if err != nil {
		return nil, err
	}
	switch method {
	case "measurement":
		if task == SR4 {
			return picture.Resize(y, x.W, x.H, operator.CubicSmall)
		}
		return clipped(y), nil
	}
	so := o.Solve
	so.Method, so.Seed, so.Sigma, so.Keep = method, seed, &o.Sigma, solver.Keep{}
	spec, err := solver.Lookup(method)
	if err != nil {
		return nil, err
	}
	so.Params = so.Params.Only(spec.New()) // they are for all methods
	if method == "tv" {                    // which fits the noise already
		so.Raw = true
	}
	r, err := Solve(ctx, m, Problem{d, y}, so)
	if err != nil {
		return nil, err
	}
	return r.Picture, nil
}

func clipped(p *picture.Picture) *picture.Picture {
	for i, v := range p.Pix {
		p.Pix[i] = min(max(v, -1), 1)
	}
	return p
}
