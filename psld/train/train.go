// Package train fits the VAE and the UNet to a folder of pictures: AdamW with a
// moving average of the weights, warm-up and cosine learning rate, checkpoints
// and a resume that continues with the same numbers.
package train

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"psld/autograd"
	"psld/nn"
	"psld/psld/picture"
	"psld/tensor"
	"psld/weights"
)

// Options are the settings that both trainings share.
type Options struct {
	Data, Val []string // folders of pictures
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
	// Init is the file of a trained model whose weights the training starts from, a warm restart; "": random weights.
	Init string
	// Device computes; BF16 ones multiply bfloat16 of float32 weights. nil: float32 on the processor.
	Device tensor.Device
	Log       io.Writer // progress lines; nil for none
}

// photos reads both folders.
func (o *Options) photos() (data, val *Photos, err error) {
	if data, err = LoadPhotos(o.Size, o.Data...); err != nil {
		return nil, nil, err
	}
	val, err = LoadPhotos(o.Size, o.Val...)
	return data, val, err
}

// task is what differs between the networks.
func (o *Options) device() tensor.Device {
	if o.Device == nil {
		return tensor.CPU
	}
	return o.Device
}

type task interface {
	params() *nn.Params
	// loss builds the loss of a batch x[N,S,S,3], with all randomness from r, and names its terms.
	loss(g *autograd.Graph, x *tensor.Tensor, r *rand.Rand) (*autograd.Value, []term)
	// validate measures on the validation photos; the first term is the one to quote.
	validate() ([]term, error)
	// sheet makes a sample picture.
	sheet() *picture.Picture
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
	if o.Init != "" && !o.Resume {
		if err := start(t.params(), o.Init); err != nil {
			return err
		}
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
	// save writes checkpoint, model (with the averaged weights) and a sample sheet. Validation comes
	// first, since the VAE's scaling factor is measured there.
	save := func() error {
		opt.Swap()
		line, err := t.validate()
		if err == nil {
			report(o.Log, log, opt.step, o.Steps, line)
			err = errors.Join(
				picture.Save(filepath.Join(o.Out, fmt.Sprintf("sheet-%06d.png", opt.step)), t.sheet()),
				saveModel(filepath.Join(o.Out, "model.safetensors"), t))
		}
		opt.Swap()
		if err := errors.Join(err, opt.Save(ckpt, t.metadata())); err != nil {
			return err
		}
		// A plot that fails is no reason to stop.
		if err := Curves(logFile.Name(), filepath.Join(o.Out, "curves.png")); err != nil && o.Log != nil {
			fmt.Fprintln(o.Log, "curves:", err)
		}
		return nil
	}
	for opt.step < o.Steps {
		if ctx.Err() != nil {
			return errors.Join(save(), fmt.Errorf("stopped at step %d: %w", opt.step, ctx.Err()))
		}
		s := opt.step
		r := rand.New(rand.NewPCG(o.Seed, uint64(s)))
		g := autograd.NewGraphOn(o.device(), true)
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
			if err := save(); err != nil {
				return err
			}
			started = time.Now()
		}
	}
	return nil
}

// rate is the learning rate of step s: linear warm-up, then half a cosine.
// start reads the weights of a trained model.
func start(p *nn.Params, path string) error {
	f, err := weights.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	set := weights.NewSet(f)
	if err := weights.Check(set, p.Shapes()); err != nil {
		return fmt.Errorf("%s does not fit the network that is to be trained: %w", path, err)
	}
	return p.Load(set)
}

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

// grid lays pictures x[N,S,S,3] out in rows of cols.
func grid(x *tensor.Tensor, cols int) *picture.Picture {
	n, h, w := x.Dim(0), x.Dim(1), x.Dim(2)
	var pics []*picture.Picture
	for i := range n {
		pics = append(pics, &picture.Picture{W: w, H: h, Pix: x.Data[i*h*w*3:][:h*w*3]})
	}
	p, err := picture.Grid(pics, cols)
	if err != nil {
		panic("train: " + err.Error()) // pictures of one size, cols > 0
	}
	return p
}
