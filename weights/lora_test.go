package weights_test

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/internal/golden"
	"psld/weights"
)

func tinyFolder(t *testing.T) string { return filepath.Join(golden.Kind(t, "tiny-sd"), "diffusers") }

// loraTarget is a weight of the tiny model that a LoRA can change.
type loraTarget struct {
	part, name, compvis string // compvis without the prefix of the part
	shape               []int
}

// loraTargets are all matrices and kernels of UNet and text encoder, with the names of the reference table.
func loraTargets(t *testing.T) []loraTarget {
	m := openModel(t, tinyFolder(t), weights.Options{})
	var list []loraTarget
	for _, r := range mapping(t, golden.Kind(t, "tiny-sd")) {
		if r.Part != weights.UNetPart && r.Part != weights.TextPart || !strings.HasSuffix(r.Name, ".weight") {
			continue
		}
		info, ok := part(m, r.Part).Info(r.Name)
		if !ok || len(info.Shape) < 2 {
			continue
		}
		list = append(list, loraTarget{r.Part, r.Name, strings.TrimPrefix(r.CompVis, "model.diffusion_model."), info.Shape})
	}
	require.Greater(t, len(list), 200)
	return list
}

// random numbers that depend on a name.
func random(name string, n int) []float32 {
	h := fnv.New64a()
	h.Write([]byte(name))
	r := rand.New(rand.NewPCG(1, h.Sum64()))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// halves are down, up and, where wanted, the kernel in between, of rank 2 and (of the kernel) 3.
type halves struct {
	down, up, mid weights.Entry
	delta         []float64 // up (mid) down, dense
}

func makeHalves(to loraTarget, withMid bool) halves {
	rank, inner := 2, 2
	kernel := 1
	for _, k := range to.shape[2:] {
		kernel *= k
	}
	out, in := to.shape[0], to.shape[1]
	key := to.part + to.name
	h := halves{delta: make([]float64, out*in*kernel)}
	if withMid {
		inner = 3
		h.mid = weights.Entry{DType: weights.F32, Shape: append([]int{inner, rank}, to.shape[2:]...),
			Data: random(key+"mid", inner*rank*kernel)}
		h.down = weights.Entry{DType: weights.F32, Shape: []int{rank, in, 1, 1}, Data: random(key+"down", rank*in)}
	} else {
		h.down = weights.Entry{DType: weights.F32, Shape: append([]int{rank}, to.shape[1:]...),
			Data: random(key+"down", rank*in*kernel)}
	}
	ones := make([]int, len(to.shape)-2)
	for i := range ones {
		ones[i] = 1
	}
	h.up = weights.Entry{DType: weights.F32, Shape: append([]int{out, inner}, ones...), Data: random(key+"up", out*inner)}
	for o := range out {
		for i := range in {
			for k := range kernel {
				for p := range inner {
					u := float64(h.up.Data[o*inner+p])
					if !withMid {
						h.delta[(o*in+i)*kernel+k] += u * float64(h.down.Data[(p*in+i)*kernel+k])
						continue
					}
					for q := range rank {
						h.delta[(o*in+i)*kernel+k] += u * float64(h.mid.Data[(p*rank+q)*kernel+k]) * float64(h.down.Data[q*in+i])
					}
				}
			}
		}
	}
	return h
}

func named(e weights.Entry, name string) weights.Entry {
	e.Name = name
	return e
}

// TestLoRA merges files of each kind of names into every weight of the tiny model, and compares with W + weight
// alpha/rank up down, computed densely in float64.
func TestLoRA(t *testing.T) {
	targets := loraTargets(t)
	plain := openModel(t, tinyFolder(t), weights.Options{})
	module := func(to loraTarget) string { return strings.TrimSuffix(to.name, ".weight") }
	under := func(s string) string { return strings.ReplaceAll(s, ".", "_") }
	attention := func(to loraTarget) bool { // what the oldest files of diffusers change
		return strings.Contains(to.name, ".attn") && strings.Contains(to.name, ".to_")
	}
	all := func(loraTarget) bool { return true }
	unet := func(to loraTarget) bool { return to.part == weights.UNetPart }
	for _, c := range []struct {
		name  string
		takes func(loraTarget) bool
		names func(to loraTarget) (down, up, mid, alpha string) // alpha "" for none: the rank
	}{
		{"kohya", all, func(to loraTarget) (string, string, string, string) {
			n := map[string]string{weights.UNetPart: "lora_unet_", weights.TextPart: "lora_te_"}[to.part] + under(module(to))
			return n + ".lora_down.weight", n + ".lora_up.weight", n + ".lora_mid.weight", n + ".alpha"
		}},
		{"kohya with CompVis names", unet, func(to loraTarget) (string, string, string, string) {
			n := "lora_unet_" + under(strings.TrimSuffix(to.compvis, ".weight"))
			return n + ".lora_down.weight", n + ".lora_up.weight", n + ".lora_mid.weight", n + ".alpha"
		}},
		{"diffusers", all, func(to loraTarget) (string, string, string, string) {
			n := to.part + "." + module(to)
			return n + ".lora_A.weight", n + ".lora_B.weight", "", ""
		}},
		{"diffusers with alpha", all, func(to loraTarget) (string, string, string, string) {
			n := to.part + "." + module(to)
			return n + ".lora.down.weight", n + ".lora.up.weight", "", n + ".alpha"
		}},
		{"linear layers of diffusers", all, func(to loraTarget) (string, string, string, string) {
			n := to.part + "." + module(to)
			return n + ".lora_linear_layer.down.weight", n + ".lora_linear_layer.up.weight", "", ""
		}},
		{"processors", attention, func(to loraTarget) (string, string, string, string) {
			at := strings.LastIndex(module(to), ".to_")
			n := "unet." + module(to)[:at] + ".processor" + strings.TrimSuffix(module(to)[at:], ".0") + "_lora"
			return n + ".down.weight", n + ".up.weight", "", ""
		}},
		{"PEFT", all, func(to loraTarget) (string, string, string, string) {
			n := "base_model.model." + module(to)
			return n + ".lora_A.weight", n + ".lora_B.weight", "", ""
		}},
		{"PEFT with an adapter's name", all, func(to loraTarget) (string, string, string, string) {
			n := "base_model.model." + module(to)
			return n + ".lora_A.default_0.weight", n + ".lora_B.default_0.weight", "", ""
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			const weight, alpha = 0.7, 3
			var entries []weights.Entry
			want := map[string][]float64{}
			for _, to := range targets {
				if !c.takes(to) {
					continue
				}
				down, up, mid, alphaName := c.names(to)
				withMid := mid != "" && len(to.shape) == 4 && to.shape[2] == 3
				h := makeHalves(to, withMid)
				entries = append(entries, named(h.down, down), named(h.up, up))
				if withMid {
					entries = append(entries, named(h.mid, mid))
				}
				scale := weight // alpha is the rank
				if alphaName != "" {
					entries = append(entries, weights.Entry{Name: alphaName, DType: weights.F32, Data: []float32{alpha}})
					scale *= alpha / 2.
				}
				for i := range h.delta {
					h.delta[i] *= scale
				}
				want[to.part+"/"+to.name] = h.delta
			}
			path := filepath.Join(t.TempDir(), "lora.safetensors")
			require.NoError(t, weights.Write(path, entries, nil))
			m := openModel(t, tinyFolder(t), weights.Options{LoRA: []weights.LoRA{{Path: path, Weight: weight}}})
			require.Equal(t, []string{fmt.Sprintf("lora.safetensors: %d layers, weight 0.7", len(want))}, m.Merged)
			for _, p := range parts {
				for _, name := range part(m, p).Names() {
					info, _ := part(m, p).Info(name)
					old, err := part(plain, p).Tensor(name, info.Shape)
					require.NoError(t, err)
					got, err := part(m, p).Tensor(name, info.Shape)
					require.NoError(t, err)
					delta, changed := want[p+"/"+name]
					if !changed {
						require.Equal(t, old, got, name)
						continue
					}
					for i := range got {
						w := float64(old[i]) + delta[i]
						if math.Abs(float64(got[i])-w) > 1e-5*(1+math.Abs(w)) {
							t.Fatalf("%s %s[%d] is %v, want %v", p, name, i, got[i], w)
						}
					}
				}
			}
		})
	}
}

// TestLoRASettings: alpha of PEFT's config beside a file and in the metadata; several files add up; a file that is
// saved again holds what was merged.
func TestLoRASettings(t *testing.T) {
	targets := loraTargets(t)
	to := targets[slices.IndexFunc(targets, func(to loraTarget) bool {
		return strings.HasSuffix(to.name, "attn2.to_k.weight")
	})]
	h := makeHalves(to, false)
	n := "base_model.model." + strings.TrimSuffix(to.name, ".weight")
	entries := []weights.Entry{named(h.down, n+".lora_A.weight"), named(h.up, n+".lora_B.weight")}
	plain, err := openModel(t, tinyFolder(t), weights.Options{}).UNet.Tensor(to.name, to.shape)
	require.NoError(t, err)
	check := func(scale float64, loras ...weights.LoRA) *weights.Model {
		t.Helper()
		m := openModel(t, tinyFolder(t), weights.Options{LoRA: loras})
		got, err := m.UNet.Tensor(to.name, to.shape)
		require.NoError(t, err)
		for i := range got {
			require.InDelta(t, float64(plain[i])+scale*h.delta[i], got[i], 2e-5)
		}
		return m
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "adapter_model.safetensors")
	require.NoError(t, weights.Write(file, entries, nil))
	config := func(text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "adapter_config.json"), []byte(text), 0o600))
	}
	check(1, weights.LoRA{Path: file, Weight: 1})
	config(`{"peft_type": "LORA", "r": 2, "lora_alpha": 8, "alpha_pattern": {}, "use_dora": false}`)
	check(4, weights.LoRA{Path: file, Weight: 1})
	check(4, weights.LoRA{Path: dir, Weight: 1})
	config(`{"r": 2, "lora_alpha": 8, "use_rslora": true}`)
	check(8/math.Sqrt2, weights.LoRA{Path: dir, Weight: 1})
	for text, want := range map[string]string{`{"lora_alpha": 8, "alpha_pattern": {"x": 1}}`: "alpha_pattern",
		`{"lora_alpha": 8, "use_dora": true}`: "use_dora is true", `{"lora_alpha": "x"}`: "lora_alpha",
		`[`: "adapter_config"} {
		config(text)
		_, err := weights.OpenModel(tinyFolder(t), weights.Options{LoRA: []weights.LoRA{{Path: dir, Weight: 1}}})
		require.ErrorContains(t, err, want)
	}

	meta, err := json.Marshal(map[string]any{"unet.lora_alpha": 6, "unet.r": 2, "text_encoder.lora_alpha": 100})
	require.NoError(t, err)
	other := filepath.Join(t.TempDir(), "x.safetensors")
	require.NoError(t, weights.Write(other, entries, map[string]string{"lora_adapter_metadata": string(meta)}))
	check(3, weights.LoRA{Path: other, Weight: 1})
	m := check(3*0.5+3*-2, weights.LoRA{Path: other, Weight: 0.5}, weights.LoRA{Path: other, Weight: -2})

	saved := filepath.Join(t.TempDir(), "saved.safetensors")
	require.NoError(t, weights.SaveSingle(ctx, saved, m, weights.SaveOptions{DType: weights.F32}))
	requireSameModel(t, m, openModel(t, saved, weights.Options{}), parts...)
}

func TestLoRAErrors(t *testing.T) {
	to := loraTargets(t)[3]
	h := makeHalves(to, false)
	n := "lora_unet_" + strings.ReplaceAll(strings.TrimSuffix(to.name, ".weight"), ".", "_")
	good := []weights.Entry{named(h.down, n+".lora_down.weight"), named(h.up, n+".lora_up.weight")}
	value := func(name string, v float32) weights.Entry {
		return weights.Entry{Name: name, DType: weights.F32, Shape: []int{1}, Data: []float32{v}}
	}
	wrong := weights.Entry{DType: weights.F32, Shape: []int{2, 5}, Data: make([]float32, 10)}
	for what, c := range map[string]struct {
		entries []weights.Entry
		want    []string
	}{
		"other model": {append(slices.Clone(good), named(h.down, "lora_te2_x.lora_down.weight"),
			named(h.up, "lora_te2_x.lora_up.weight")), []string{"1 of its 2 layers are not in the model", "lora_te2_x"}},
		"half":     {good[:1], []string{"not both halves"}},
		"stranger": {append(slices.Clone(good), value("bias_x", 1)), []string{"1 tensors", "bias_x"}},
		"LoHa":     {[]weights.Entry{value(n+".hada_w1_a", 1)}, []string{"LoHa"}},
		"DoRA":     {append(slices.Clone(good), value(n+".dora_scale", 1)), []string{"DoRA"}},
		"no LoRA":  {[]weights.Entry{value("control_model.x", 1)}, []string{"no LoRA", "ControlNet"}},
		"shape":    {[]weights.Entry{good[1], named(wrong, good[0].Name)}, []string{n, "made for another model"}},
		"alpha":    {append(slices.Clone(good), value(n+".alpha", float32(math.Inf(1)))), []string{"alpha"}},
		"twice":    {append(slices.Clone(good), named(h.down, n+".lora_A.weight")), []string{"the same part"}},
	} {
		t.Run(what, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "lora.safetensors")
			require.NoError(t, weights.Write(path, c.entries, nil))
			_, err := weights.OpenModel(tinyFolder(t), weights.Options{LoRA: []weights.LoRA{{Path: path, Weight: 1}}})
			for _, want := range append(c.want, path) {
				require.ErrorContains(t, err, want)
			}
		})
	}
	_, err := weights.OpenModel(tinyFolder(t), weights.Options{LoRA: []weights.LoRA{{Path: t.TempDir(), Weight: 1}}})
	require.ErrorContains(t, err, "neither pytorch_lora_weights.safetensors")

	bad := h.up
	bad.Data = append([]float32(nil), h.up.Data...)
	bad.Data[0] = float32(math.NaN())
	path := filepath.Join(t.TempDir(), "lora.safetensors")
	require.NoError(t, weights.Write(path, []weights.Entry{good[0], named(bad, good[1].Name)}, nil))
	m := openModel(t, tinyFolder(t), weights.Options{LoRA: []weights.LoRA{{Path: path, Weight: 1}}})
	_, err = m.UNet.Tensor(to.name, to.shape)
	require.ErrorContains(t, err, "holds NaN")
}

// FuzzLoRA: any file of changes is refused, or can be added to a weight.
func FuzzLoRA(f *testing.F) {
	to := loraTarget{weights.UNetPart, "conv_in.weight", "", []int{32, 4, 3, 3}}
	for _, mid := range []bool{false, true} {
		h := makeHalves(to, mid)
		list := []weights.Entry{named(h.down, "lora_unet_conv_in.lora_down.weight"),
			named(h.up, "lora_unet_conv_in.lora_up.weight")}
		if mid {
			list = append(list, named(h.mid, "lora_unet_conv_in.lora_mid.weight"))
		}
		var b strings.Builder
		if err := weights.Encode(&b, list, nil); err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(b.String()))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		dst := make([]float32, 32*4*3*3)
		_ = weights.ApplyLoRA(data, dst, to.shape)
	})
}
