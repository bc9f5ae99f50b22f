// Package train fits the networks to folders of pictures: AdamW with a
// moving average of the weights, warm-up and cosine learning rate, checkpoints
// and a resume that continues with the same numbers.
package train

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"

	"psld/autograd"
	"psld/nn"
	"psld/psld/picture"
	"psld/tensor"
	"psld/tensor/cpu"
	"psld/weights"
)

// Options are the settings that all trainings share.
type Options struct {
	Data, Val []string // folders of pictures
	Cache     string   // file that keeps those of Data decoded, see CachedPhotos; "" for none
	Out       string   // folder for checkpoint, log, sample sheets and the model
	Size      int      // pixels a side of the training crops
	Steps     int      // length of the whole run
	Batch     int      // pictures a step
	// Micro is the number of parts in which the pictures of a step go through the network, one after the other, to take
	// less memory; their gradients add up. 0 stands for 1. It divides Batch.
	Micro  int
	LR     float64 // after warm-up; falls to 1 % along a cosine
	Warmup int     // steps
	// Cycle is the number of steps after which the rate rises to LR again (warm restarts, Loshchilov and Hutter 2017);
	// 0: never. The last cycle may be shorter.
	Cycle     int
	EMA       float64 // decay of the weights' moving average
	Seed      uint64
	LogEvery  int  // steps between log lines
	SaveEvery int  // steps between validations, sample sheets and checkpoints
	Resume    bool // go on from the checkpoint in Out, of a run with the same options
	Overwrite bool // begin anew where Out holds a run; else that is an error
	// Init is the file of a trained model whose weights the training starts from, a warm restart; "": random weights.
	Init string
	// Device computes; one that multiplies bfloat16 does so with float32 weights, rounded where they are used. nil:
	// float32 on the processor.
	Device tensor.Device
	Log    io.Writer // progress lines; nil for none
	// Begin, when set, is called before the first step, when all that can be wrong with options and files has been
	// looked at.
	Begin func()
	// LeftOut, when set, is told why photos are left out, where some are.
	LeftOut func(why []error)
}

// photos reads the folders. The caller closes data.
func (o *Options) photos() (data, val *Photos, err error) {
	load := LoadPhotos
	if o.Cache != "" {
		load = func(min int, dirs ...string) (*Photos, error) { return CachedPhotos(o.Cache, min, dirs...) }
	}
	if data, err = load(o.Size, o.Data...); err != nil {
		return nil, nil, fmt.Errorf("data: %w", err)
	}
	if val, err = LoadPhotos(o.Size, o.Val...); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("val: %w", err), data.Close())
	}
	if left := slices.Concat(data.Left, val.Left); len(left) > 0 && o.LeftOut != nil {
		o.LeftOut(left)
	}
	return data, val, nil
}

func (o *Options) device() tensor.Device {
	if o.Device == nil {
		return cpu.F32
	}
	return o.Device
}

// Exact is the device of what is not trained: validation, sample sheets and frozen networks. It is that of the
// training, but multiplies float32 where that is the processor.
func (o *Options) Exact() tensor.Device {
	if dev := o.device(); !tensor.OnHost(dev) {
		return dev
	}
	return cpu.F32
}

// check returns an error for what no training can do.
func (o *Options) check() error {
	if micro := max(1, o.Micro); o.Batch < 1 || o.Batch%micro != 0 {
		return fmt.Errorf("a batch of %d pictures in %d parts: want a number of parts that divides the batch", o.Batch,
			micro)
	}
	if o.Steps < 1 || o.Size < 1 || o.Cycle < 0 {
		return fmt.Errorf("%d steps on pictures of %d pixels, cycles of %d: want positive numbers", o.Steps, o.Size, o.Cycle)
	}
	return nil
}

// task is what differs between the networks.
type task interface {
	params() *nn.Params
	// loss builds the loss of a batch x[N,S,S,3], with all randomness from r, and names its terms.
	loss(g *autograd.Graph, x *tensor.Tensor, r *rand.Rand) (*autograd.Value, []term)
	// validate measures on the validation photos; the first term is the one to quote.
	validate() ([]term, error)
	// ready sees to what the metadata need where validate has not been called.
	ready() error
	// sheet makes a sample picture.
	sheet() *picture.Picture
	macs() int64 // multiply-adds of one forward pass of one training picture
	metadata() map[string]string
	facts() map[string]string // what the steps depend on besides the Options and the metadata, by names of options
}

type term struct {
	name  string
	value float64
}

// initialise reads the weights of a trained model.
func initialise(p *nn.Params, path string) error {
	f, err := weights.Open(path)
	if err != nil {
		return err
	}
	set := weights.NewSet(f)
	if err = weights.Check(set, p.Shapes()); err != nil {
		err = fmt.Errorf("%s does not fit the network that is to be trained: %w", path, err)
	} else {
		err = p.Load(set)
	}
	return errors.Join(err, f.Close())
}

// rate is the learning rate of step s: linear warm-up, then half a cosine, in each cycle.
func rate(o Options, s int) float64 {
	length := o.Steps
	if o.Cycle > 0 {
		length = min(o.Cycle, o.Steps-s/o.Cycle*o.Cycle)
		s %= o.Cycle
	}
	if s < o.Warmup {
		return o.LR * float64(s+1) / float64(o.Warmup)
	}
	f := float64(s-o.Warmup) / math.Max(1, float64(length-o.Warmup))
	return o.LR * (0.01 + 0.99*0.5*(1+math.Cos(math.Pi*f)))
}

// saveModel writes the weights as they stand, float16, with the network's
// configuration in the metadata.
func saveModel(path string, t task, dev tensor.Device) error {
	var entries []weights.Entry
	for _, p := range t.params().All() {
		entries = append(entries, weights.Entry{Name: p.Name, DType: weights.F16, Shape: p.Value.T.Shape,
			Data: dev.Host(p.Value.T)})
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
