package solver

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"psld/asm"
	"psld/psld/operator"
	"psld/psld/param"
	"psld/psld/prior"
	"psld/tensor"
	"psld/tensor/cpu"
)

// environment is the number of facts, at the beginning, that move the last bits of all that follow.
const environment = 2

// facts lists all that the numbers of a run depend on. What does not change a bit is not in it: threads, the limit of
// memory, where states are kept.
func (r *Run) facts(spec Spec, method Method) []Fact {
	in := r.A.In()
	list := []Fact{
		{"kernels", asm.Active().String() + " " + runtime.GOARCH},
		{"precision", r.Device().Name()},
		{"picture size", fmt.Sprintf("%dx%d", in.W, in.H)},
		{"measurement", digest(r.Y)},
		{"operator (mask or blur kernel)", probe(r.A)},
		{"method", spec.Name},
	}
	if spec.Needs.Noise {
		list = append(list, Fact{"noise of the measurement", fmt.Sprint(r.Sigma)})
	}
	for _, f := range param.Fields(method) {
		list = append(list, Fact{strings.ReplaceAll(f.Name, "_", "-"), fmt.Sprint(f.Of(method))})
	}
	list = append(list, Fact{"seed", fmt.Sprint(r.o.Seed)}, Fact{"start picture", digest(r.Start)})
	list = append(list, r.o.Facts...)
	if spec.Needs.Prior {
		list = append(list, r.priorFacts()...)
	}
	return list
}

func (r *Run) priorFacts() []Fact {
	networks := r.Prior.Networks()
	if r.o.LightCodec {
		_, light, _ := prior.LightCodecOf(r.Prior)
		networks = append(networks, light)
	}
	list := []Fact{{"layout", prior.Layout(r.Prior, r.W, r.H)}}
	for _, n := range networks {
		list = append(list, Fact{"model's " + n.Name, r.networkDigest(n)})
	}
	c := r.o.Conditions
	context := func(t *tensor.Tensor) string {
		if t == nil {
			t = r.Prior.Unconditional()
		}
		if t == nil {
			return ""
		}
		return digest(t.Data)
	}
	return append(list,
		Fact{"model's noise schedule", digest(r.Prior.Schedule().AlphasCumprod)},
		Fact{"prompt", context(c.Prompt)},
		Fact{"negative prompt", context(c.Negative)},
		Fact{"guidance scale", fmt.Sprint(c.Scale)},
		Fact{"light autoencoder", fmt.Sprint(r.o.LightCodec)})
}

// differences says in words where the runs of two lists of facts are not the same, "" for nowhere.
func differences(there, here []Fact) string {
	was := map[string]string{}
	for _, f := range there {
		was[f.Name] = f.Value
	}
	var list []string
	for i, f := range here {
		if i <= environment && list != nil {
			break
		}
		switch old, ok := was[f.Name]; {
		case !ok:
			list = append(list, f.Name+" was not recorded")
		case old == f.Value:
		case strings.HasPrefix(old, "#") || strings.HasPrefix(f.Value, "#"):
			list = append(list, f.Name+" is another one")
		default:
			list = append(list, fmt.Sprintf("%s is %s, was %s", f.Name, f.Value, old))
		}
	}
	return strings.Join(list, "; ")
}

// sum makes a fact's value of a SHA-256.
func sum(h [sha256.Size]byte) string { return "#" + hex.EncodeToString(h[:]) }

func digest(x []float32) string { return sum(hash(x)) }

// Digest tells values from others, as the value of a [Fact].
func Digest(x []float32) string { return digest(x) }

func hash(x []float32) [sha256.Size]byte {
	h := sha256.New()
	for len(x) > 0 { // a little at a time: weights are large
		n := min(len(x), 1<<14)
		h.Write(littleEndian(x[:n]))
		x = x[n:]
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// probe is the digest of what a linear map makes of noise, which tells it from any other one.
func probe(a operator.Linear) string {
	x, y := draw(1, "probe", 0, a.In().Len()), make([]float32, a.Out().Len())
	a.Apply(y, x)
	return digest(y)
}

// networkDigest is the digest of a network: its configuration and all its weights, as the device holds them.
func (r *Run) networkDigest(n prior.Network) string { return networkDigest(r.Prior.Device(), n) }

// ModelDigest tells a model from any other one: it is a checksum of its networks.
func ModelDigest(m prior.Prior) string {
	h := sha256.New()
	for _, n := range m.Networks() {
		fmt.Fprintln(h, n.Name, networkDigest(m.Device(), n))
	}
	return sum([sha256.Size]byte(h.Sum(nil)))
}

func networkDigest(dev tensor.Device, n prior.Network) string {
	all := n.Params.All()
	sums := make([][sha256.Size]byte, len(all))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(4, cpu.Threads()) { // each holds one packed weight's elements for a moment
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(all); i = int(next.Add(1)) - 1 {
				sums[i] = hash(dev.Host(all[i].Value.T))
			}
		})
	}
	wg.Wait()
	h := sha256.New()
	// A configuration is plain data: it can be marshalled.
	text, _ := json.Marshal(n.Config)
	h.Write(text)
	for i, q := range all {
		fmt.Fprintf(h, "%s %v %x\n", q.Name, q.Value.T.Shape, sums[i])
	}
	return sum([sha256.Size]byte(h.Sum(nil)))
}
