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

	"psld/asm"
	"psld/nn"
	"psld/weights"
)

// AdamW is Adam with decoupled weight decay (Loshchilov and Hutter 2019) and an
// exponential moving average of the weights.
type AdamW struct {
	Beta1, Beta2, Eps, Decay float64
	EMA                      float64 // decay of the average, e.g. 0.999
	Clip                     float64 // largest norm of the whole gradient, 0: no limit

	params     []nn.Param
	m, v, mean [][]float32
	step       int
}

// NewAdamW makes an optimizer for params with the usual constants.
func NewAdamW(params []nn.Param) *AdamW {
	a := &AdamW{Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, Decay: 0.01, EMA: 0.999, Clip: 1, params: params}
	for _, p := range params {
		n := p.Value.T.Len()
		a.m, a.v = append(a.m, make([]float32, n)), append(a.v, make([]float32, n))
		a.mean = append(a.mean, append([]float32(nil), p.Value.T.Data...))
	}
	return a
}

// Step applies the gradients with learning rate lr, clears them and returns the
// gradient's norm before clipping. A NaN or infinite gradient changes nothing and is an error.
func (a *AdamW) Step(lr float64) (float64, error) {
	var sq float64
	for _, p := range a.params {
		if g := p.Value.Grad(); g != nil {
			sq += asm.SumSq(g.Data)
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
			asm.Scale(g.Data, float32(a.Clip/norm), g.Data)
		}
		decay := a.Decay
		if len(p.Value.T.Shape) < 2 { // norms and biases
			decay = 0
		}
		asm.AdamW(p.Value.T.Data, a.m[i], a.v[i], g.Data, float32(lr), float32(a.Beta1), float32(a.Beta2), float32(a.Eps),
			float32(decay), float32(c1), float32(c2))
		asm.Lerp(a.mean[i], p.Value.T.Data, float32(1-ema))
		p.Value.Changed()
		p.Value.ZeroGrad()
	}
	return norm, nil
}

// Swap exchanges the weights with their average; a second call changes them back.
func (a *AdamW) Swap() {
	for i, p := range a.params {
		p.Value.T.Data, a.mean[i] = a.mean[i], p.Value.T.Data
		p.Value.Changed()
	}
}

// Save writes weights, moments and averages, as they stand between two steps.
func (a *AdamW) Save(path string, metadata map[string]string) error {
	var entries []weights.Entry
	add := func(kind, name string, shape []int, data []float32) {
		entries = append(entries, weights.Entry{Name: kind + "." + name, DType: weights.F32, Shape: shape, Data: data})
	}
	for i, p := range a.params {
		add("param", p.Name, p.Value.T.Shape, p.Value.T.Data)
		add("m", p.Name, p.Value.T.Shape, a.m[i])
		add("v", p.Name, p.Value.T.Shape, a.v[i])
		add("ema", p.Name, p.Value.T.Shape, a.mean[i])
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
		for _, part := range []struct {
			kind string
			dst  []float32
		}{{"param", p.Value.T.Data}, {"m", a.m[i]}, {"v", a.v[i]}, {"ema", a.mean[i]}} {
			data, err := set.Tensor(part.kind+"."+p.Name, p.Value.T.Shape)
			if err != nil {
				return fmt.Errorf("checkpoint: %w", err)
			}
			copy(part.dst, data)
			entries = append(entries, weights.Entry{Name: part.kind + "." + p.Name, Shape: p.Value.T.Shape, Data: part.dst})
		}
		p.Value.Changed()
	}
	meta := f.Metadata()
	if sum, ok := meta["sha256"]; ok && sum != digest(meta, entries) { // checkpoints of earlier versions have none
		return errors.New("its bytes have changed since it was written (checksum)")
	}
	return nil
}
