// Package train fits the VAE and the UNet to a folder of pictures: AdamW with a
// moving average of the weights, warm-up and cosine learning rate, checkpoints
// and a resume that continues with the same numbers.
package train

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"psld/autograd"
	"psld/nn"
	"psld/tensor"
	"psld/weights"
)

// Options are the settings that both trainings share.
type Options struct {
	Data, Val string  // folders of pictures
	Out       string  // folder for checkpoint, log, sample sheets and the model
	Size      int     // pixels a side of the training crops
	Steps     int     // length of the whole run
	Batch     int     // pictures a step
	LR        float64 // after warm-up; falls to 1 % along a cosine
	Warmup    int     // steps
	EMA       float64 // decay of the weights' moving average
	Seed      uint64
	LogEvery  int // steps between log lines
	SaveEvery int // steps between validations, sample sheets and checkpoints
	Resume    bool
	Log       io.Writer // progress lines; nil for none
}

// task is what differs between the networks.
type task interface {
	params() *nn.Params
	// loss builds the loss of a batch x[N,S,S,3], with all randomness from r, and names its terms.
	loss(g *autograd.Graph, x *tensor.Tensor, r *rand.Rand) (*autograd.Value, []term)
	// validate measures on the validation photos; the first term decides nothing but is the one to quote.
	validate() []term
	// sheet makes a sample picture [1,H,W,3].
	sheet() *tensor.Tensor
	macs() int64 // multiply-adds of one forward pass of one training picture
	metadata() map[string]string
}

type term struct {
	name  string
	value float64
}

// run is the training loop. Everything random in step s comes from (Seed, s), so a
// resumed run makes the same steps.
func run(ctx context.Context, o Options, photos *Photos, t task) error {
	if err := os.MkdirAll(o.Out, 0o755); err != nil {
		return err
	}
	opt := NewAdamW(t.params().All())
	opt.EMA = o.EMA
	ckpt := filepath.Join(o.Out, "checkpoint.safetensors")
	if o.Resume {
		f, err := weights.Open(ckpt)
		if err != nil {
			return fmt.Errorf("resume: %w", err)
		}
		err = opt.Load(f)
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("resume %s: %w", ckpt, err)
		}
	}
	logFile, err := os.OpenFile(filepath.Join(o.Out, "log.csv"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer logFile.Close()
	log := csv.NewWriter(logFile)
	t.params().RequireGrad(true)
	var sums []term
	started, seen := time.Now(), 0
	save := func() error {
		if err := opt.Save(ckpt, t.metadata()); err != nil {
			return err
		}
		opt.Swap()
		defer opt.Swap()
		return saveModel(filepath.Join(o.Out, "model.safetensors"), t)
	}
	for opt.step < o.Steps {
		if ctx.Err() != nil {
			return errors.Join(save(), fmt.Errorf("stopped at step %d: %w", opt.step, ctx.Err()))
		}
		s := opt.step
		r := rand.New(rand.NewPCG(o.Seed, uint64(s)))
		g := autograd.NewGraph()
		loss, terms := t.loss(g, photos.Batch(r, o.Batch, o.Size), r)
		g.Backward(loss, nil)
		g.Release()
		norm, err := opt.Step(rate(o, s))
		if err != nil {
			return err
		}
		terms = append(terms, term{"grad", norm})
		if sums == nil {
			sums = make([]term, len(terms))
		}
		for i, v := range terms {
			sums[i].name = v.name
			sums[i].value += v.value
		}
		seen++
		s = opt.step
		if s%o.LogEvery == 0 || s == o.Steps {
			sec := time.Since(started).Seconds()
			for i := range sums {
				sums[i].value /= float64(seen)
			}
			images := float64(seen*o.Batch) / sec
			gflops := images * 6 * float64(t.macs()) / 1e9
			line := append(sums, term{"lr", rate(o, s-1)}, term{"images/s", images}, term{"GFLOP/s", gflops})
			report(o.Log, log, s, o.Steps, line)
			sums, started, seen = nil, time.Now(), 0
		}
		if s%o.SaveEvery == 0 || s == o.Steps {
			opt.Swap()
			report(o.Log, log, s, o.Steps, t.validate())
			err := writePNG(filepath.Join(o.Out, fmt.Sprintf("sheet-%06d.png", s)), t.sheet())
			opt.Swap()
			err = errors.Join(err, save(), Curves(logFile.Name(), filepath.Join(o.Out, "curves.png")))
			if err != nil {
				return err
			}
			started = time.Now()
		}
	}
	return nil
}

// rate is the learning rate of step s: linear warm-up, then half a cosine.
func rate(o Options, s int) float64 {
	if s < o.Warmup {
		return o.LR * float64(s+1) / float64(o.Warmup)
	}
	f := float64(s-o.Warmup) / math.Max(1, float64(o.Steps-o.Warmup))
	return o.LR * (0.01 + 0.99*0.5*(1+math.Cos(math.Pi*f)))
}

func report(w io.Writer, log *csv.Writer, step, steps int, line []term) {
	row := []string{strconv.Itoa(step)}
	text := fmt.Sprintf("step %d/%d", step, steps)
	for _, v := range line {
		row = append(row, v.name, strconv.FormatFloat(v.value, 'g', 6, 64))
		text += fmt.Sprintf("  %s %.4g", v.name, v.value)
	}
	_ = log.Write(row)
	log.Flush()
	if w != nil {
		fmt.Fprintln(w, text)
	}
}

// saveModel writes the weights as they stand, float16, with the network's
// configuration in the metadata.
func saveModel(path string, t task) error {
	var entries []weights.Entry
	for _, p := range t.params().All() {
		entries = append(entries, weights.Entry{Name: p.Name, DType: weights.F16, Shape: p.Value.T.Shape, Data: p.Value.T.Data})
	}
	return weights.Write(path, entries, t.metadata())
}

// normal fills a new tensor with standard normal numbers.
func normal(r *rand.Rand, shape ...int) *tensor.Tensor {
	t := tensor.New(shape...)
	for i := range t.Data {
		t.Data[i] = float32(r.NormFloat64())
	}
	return t
}

// tile lays pictures x[N,S,S,3] out in rows of cols.
func tile(x *tensor.Tensor, cols int) *tensor.Tensor {
	n, s := x.Dim(0), x.Dim(1)
	rows := (n + cols - 1) / cols
	out := tensor.New(1, rows*s, cols*s, 3)
	for i := range n {
		for y := range s {
			copy(out.Data[((i/cols*s+y)*cols*s+i%cols*s)*3:][:s*3], x.Data[(i*s+y)*s*3:])
		}
	}
	return out
}

func writePNG(path string, t *tensor.Tensor) error {
	h, w := t.Dim(1), t.Dim(2)
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	at := func(i int) uint8 { return uint8(math.Round(min(max(float64(t.Data[i])*127.5+127.5, 0), 255))) }
	for i := range w * h {
		img.Set(i%w, i/w, color.NRGBA{at(3 * i), at(3*i + 1), at(3*i + 2), 255})
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(png.Encode(f, img), f.Close())
}
