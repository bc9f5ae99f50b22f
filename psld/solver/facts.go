package solver

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"psld/asm"
	"psld/nn"
	"psld/psld/operator"
	"psld/tensor"
)

// environment is the number of facts, at the beginning, that move the last bits of all that follow.
const environment = 2

// facts lists all that the numbers of a run depend on, given the noise that it starts from. What does not change a bit
// is not in it: threads, the limit of memory, where states are kept.
func (s *latentRun) facts(start []float32) []Fact {
	in := s.p.A.In()
	list := []Fact{
		{"kernels", asm.Active().String() + " " + runtime.GOARCH},
		{"precision", s.m.Device().Name()},
		{"picture size", fmt.Sprintf("%dx%d", in.W, in.H)},
		{"measurement", digest(s.p.Y)},
		{"operator (mask or blur kernel)", probe(s.p.A)},
		{"model's UNet", s.modelDigest(s.m.UNet.Config, s.m.UNet.Params)},
		{"model's autoencoder", s.modelDigest(s.m.VAE.Config, s.m.VAE.Params)},
		{"model's noise schedule", digest(s.m.Schedule().AlphasCumprod)},
		{"model's window", fmt.Sprint(s.m.Window)},
	}
	if s.kind == glued {
		list = append(list, Fact{"back-projection", probe(s.p.Back)})
	}
	if s.o.GuideTAESD {
		list = append(list, Fact{"tiny autoencoder", s.modelDigest(s.m.TAESD.TAESDConfig, s.m.TAESD.Params)})
	}
	return append(append(list, optionFacts(s.o)...), Fact{"start noise", digest(start)})
}

var capital = regexp.MustCompile("([a-z])([A-Z])") // within a name: LoopNoise is told as loop-noise

// optionFacts lists every field of the options that has an effect on the numbers.
func optionFacts(o Options) []Fact {
	o.GluingEvery = max(1, o.GluingEvery) // they mean the same
	var list []Fact
	v := reflect.ValueOf(o)
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		value := ""
		switch x := v.Field(i).Interface().(type) {
		case string, int, uint64, float64, bool:
			value = fmt.Sprint(x)
		case []float32: // Start
			value = digest(x)
		case *tensor.Tensor: // contexts
			if x != nil {
				value = digest(x.Data)
			}
		}
		switch name {
		case "MaxMemory", "Keep", "Progress", "Noise": // Noise shows in the start noise
			continue
		case "Start":
			name = "start picture"
		case "Context":
			name = "prompt"
		case "Negative":
			name = "negative prompt"
		}
		list = append(list, Fact{strings.ToLower(capital.ReplaceAllString(name, "$1-$2")), value})
	}
	return list
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
	x, y := generator(1)("probe", 0, a.In().Len()), make([]float32, a.Out().Len())
	a.Apply(y, x)
	return digest(y)
}

// modelDigest is the digest of a network: its configuration and all its weights, as the device holds them.
func (s *latentRun) modelDigest(config any, p *nn.Params) string {
	all := p.All()
	sums := make([][sha256.Size]byte, len(all))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(4, runtime.GOMAXPROCS(0)) { // each holds one packed weight's elements for a moment
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(all); i = int(next.Add(1)) - 1 {
				sums[i] = hash(s.m.Device().Host(all[i].Value.T))
			}
		})
	}
	wg.Wait()
	h := sha256.New()
	// A configuration is plain data: it can be marshalled.
	text, _ := json.Marshal(config)
	h.Write(text)
	for i, q := range all {
		fmt.Fprintf(h, "%s %v %x\n", q.Name, q.Value.T.Shape, sums[i])
	}
	return sum([sha256.Size]byte(h.Sum(nil)))
}
