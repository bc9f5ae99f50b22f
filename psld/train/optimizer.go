package train

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"psld/nn"
	"psld/tensor"
	"psld/weights"
)

// AdamW is Adam with decoupled weight decay (Loshchilov and Hutter 2019) and an
// exponential moving average of the weights.
type AdamW struct {
	Beta1, Beta2, Eps, Decay float64
	EMA                      float64 // decay of the average, e.g. 0.999
	Clip                     float64 // largest norm of the whole gradient, 0: no limit

	dev        tensor.Device
	params     []nn.Param
	m, v, mean []*tensor.Tensor // on the device
	step       int
}

// NewAdamW makes an optimizer for params with the usual constants. The weights move into the memory of dev, which is
// to compute their gradients, and so does all that the optimizer keeps with them.
func NewAdamW(params []nn.Param, dev tensor.Device) *AdamW {
	a := &AdamW{Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, Decay: 0.01, EMA: 0.999, Clip: 1, dev: dev, params: params}
	whole := false
	defer func() { // or dev has no memory for it all
		if !whole {
			a.Release()
		}
	}()
	host := tensor.OnHost(dev)
	for _, p := range params {
		w := p.Value.T
		a.mean = append(a.mean, a.get(w.Shape, w.Data))
		for _, list := range []*[]*tensor.Tensor{&a.m, &a.v} {
			t := a.get(w.Shape, nil)
			dev.Fill(t, 0)
			*list = append(*list, t)
		}
		if !host {
			p.Value.T = a.get(w.Shape, w.Data)
		}
	}
	whole = true
	return a
}

// get is a tensor of the device, filled with data where there are any.
func (a *AdamW) get(shape []int, data []float32) *tensor.Tensor {
	t := a.dev.Get(shape...)
	if data != nil {
		a.dev.Upload(t, data)
	}
	return t
}

// Release gives the memory of the optimizer and of the gradients back to the device; weights that lie there move to
// the host. Nothing else may be called afterwards.
func (a *AdamW) Release() {
	for _, t := range slices.Concat(a.m, a.v, a.mean) {
		a.dev.Put(t)
	}
	for _, p := range a.params {
		p.Value.DropGrad()
		if w := p.Value.T; w.Data == nil {
			p.Value.T = tensor.From(slices.Clone(a.dev.Host(w)), w.Shape...)
			a.dev.Put(w)
		}
	}
	a.m, a.v, a.mean = nil, nil, nil
}

// Step applies the gradients with learning rate lr, clears them and returns the
// gradient's norm before clipping. A NaN or infinite gradient changes nothing and is an error.
func (a *AdamW) Step(lr float64) (float64, error) {
	var sq float64
	for _, p := range a.params {
		if g := p.Value.Grad(); g != nil {
			sq += a.dev.SumSquares(g)
		}
	}
	norm := math.Sqrt(sq)
	if math.IsNaN(norm) || math.IsInf(norm, 0) {
		return norm, fmt.Errorf("step %d: the gradient is not finite", a.step+1)
	}
	a.step++
	c1, c2 := 1-math.Pow(a.Beta1, float64(a.step)), 1-math.Pow(a.Beta2, float64(a.step))
	// The average starts fast, so that it forgets the random start.
	ema := math.Min(a.EMA, (1+float64(a.step))/(10+float64(a.step)))
	for i, p := range a.params {
		g := p.Value.Grad()
		if g == nil {
			continue
		}
		if a.Clip > 0 && norm > a.Clip {
			a.dev.Scale(g, float32(a.Clip/norm), g)
		}
		decay := a.Decay
		if len(p.Value.T.Shape) < 2 { // norms and biases
			decay = 0
		}
		a.dev.AdamW(p.Value.T, a.m[i], a.v[i], a.mean[i], g, tensor.AdamW{Rate: float32(lr), Beta1: float32(a.Beta1),
			Beta2: float32(a.Beta2), Eps: float32(a.Eps), Decay: float32(decay), Correct1: float32(c1),
			Correct2: float32(c2), Mix: float32(1 - ema)})
		p.Value.ZeroGrad()
	}
	return norm, nil
}

// Swap exchanges the weights with their average; a second call changes them back.
func (a *AdamW) Swap() {
	for i, p := range a.params {
		p.Value.T, a.mean[i] = a.mean[i], p.Value.T
	}
}

// parts are the tensors of parameter i by what they are called in a checkpoint.
func (a *AdamW) parts(i int) []part {
	return []part{{"param", a.params[i].Value.T}, {"m", a.m[i]}, {"v", a.v[i]}, {"ema", a.mean[i]}}
}

type part struct {
	kind string
	t    *tensor.Tensor
}

// Save writes weights, moments and averages, as they stand between two steps.
func (a *AdamW) Save(path string, metadata map[string]string) error {
	var entries []weights.Entry
	for i, p := range a.params {
		for _, q := range a.parts(i) {
			entries = append(entries, weights.Entry{Name: q.kind + "." + p.Name, DType: weights.F32, Shape: q.t.Shape,
				Data: a.dev.Host(q.t)})
		}
	}
	metadata = maps.Clone(metadata)
	if metadata == nil {
		metadata = map[string]string{}
	}
	metadata["step"] = fmt.Sprint(a.step)
	metadata["sha256"] = digest(metadata, entries)
	return weights.Write(path, entries, metadata)
}

// digest is a checksum of a checkpoint's metadata and float32 tensors.
func digest(metadata map[string]string, entries []weights.Entry) string {
	h := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(metadata)) {
		if key != "sha256" {
			fmt.Fprintf(h, "%q=%q\n", key, metadata[key])
		}
	}
	var buf [4096]byte
	for _, e := range entries {
		fmt.Fprintf(h, "%q %v\n", e.Name, e.Shape)
		for data := e.Data; len(data) > 0; {
			n := min(len(data), len(buf)/4)
			for i, v := range data[:n] {
				binary.LittleEndian.PutUint32(buf[4*i:], math.Float32bits(v))
			}
			h.Write(buf[:4*n])
			data = data[n:]
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Load restores what Save wrote for the same network. A file whose bytes have changed since is an error.
func (a *AdamW) Load(f *weights.File) error {
	if _, err := fmt.Sscan(f.Metadata()["step"], &a.step); err != nil {
		return fmt.Errorf("checkpoint has no step number: %w", err)
	}
	set := weights.NewSet(f)
	var entries []weights.Entry
	for i, p := range a.params {
		for _, q := range a.parts(i) {
			data, err := set.Tensor(q.kind+"."+p.Name, q.t.Shape)
			if err != nil {
				return fmt.Errorf("checkpoint: %w", err)
			}
			a.dev.Upload(q.t, data)
			entries = append(entries, weights.Entry{Name: q.kind + "." + p.Name, Shape: q.t.Shape,
				Data: a.dev.Host(q.t)})
		}
	}
	meta := f.Metadata()
	if sum, ok := meta["sha256"]; ok && sum != digest(meta, entries) { // checkpoints of earlier versions have none
		return errors.New("its bytes have changed since it was written (checksum)")
	}
	return nil
}
