package weights

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"

	"psld/asm"
	"psld/internal/few"
)

// LoRA names a file of low-rank changes of a model's weights (Hu et al. 2021), and how strongly they are made. Path is
// a file of kohya's scripts, of PEFT or of diffusers, or a folder that holds one.
type LoRA struct {
	Path   string
	Weight float64 // 1 for all of it; any finite number
}

// change is what a LoRA adds to a weight W of out rows: scale times up down, where down [rank, in] of a convolution
// has in = channels times kernel, or scale times up mid down for a convolution in three parts (LyCORIS): down and up
// are 1x1, mid [rank, rank, kh, kw] is the kernel.
type change struct {
	file          *File
	down, up, mid string // tensors of file; mid may be ""
	scale         float32
}

// loraTensor splits the name of a tensor into that of the layer and its role there: kohya's lora_down, PEFT's lora_A
// (an adapter's name may follow), and what diffusers wrote before it had PEFT.
var loraTensor = regexp.MustCompile(`^(.+?)(?:\.lora_(down|up|mid)\.weight|\.lora_([AB])(?:\.[\w-]+)?\.weight|` +
	`[._]lora\.(down|up)\.weight|\.lora_linear_layer\.(down|up)\.weight|\.(alpha))$`)

// splitLoRA gives layer and role ("down", "up", "mid" or "alpha") of a tensor.
func splitLoRA(name string) (layer, role string, ok bool) {
	m := loraTensor.FindStringSubmatch(name)
	if m == nil {
		return "", "", false
	}
	role = m[2] + m[3] + m[4] + m[5] + m[6]
	if to, isPEFT := map[string]string{"A": "down", "B": "up"}[role]; isPEFT {
		role = to
	}
	return m[1], role, true
}

// otherAdapters are parts of names in files of other kinds of changes.
var otherAdapters = []struct{ part, what string }{
	{"dora_scale", "DoRA"}, {"lora_magnitude_vector", "DoRA"}, {".hada_", "LoHa"}, {".lokr_", "LoKr"}, {".oft_", "OFT"},
	{".glora_", "GLoRA"}, {".boft_", "BOFT"}, {".diff", "whole weights beside LoRA"},
}

// isLoRA tells a file of changes from one of weights.
func isLoRA(f *File) bool {
	return slices.ContainsFunc(f.Names(), func(name string) bool {
		_, role, ok := splitLoRA(name)
		return ok && role != "alpha" || slices.ContainsFunc(otherAdapters[:6], func(a struct{ part, what string }) bool {
			return strings.Contains(name, a.part)
		})
	})
}

// findLoRA is the file that path stands for.
func findLoRA(path string) (string, error) {
	st, err := os.Stat(path)
	if err != nil || !st.IsDir() {
		return path, err
	}
	for _, name := range []string{"pytorch_lora_weights.safetensors", "adapter_model.safetensors",
		"pytorch_lora_weights.bin", "adapter_model.bin"} {
		if file := filepath.Join(path, name); exists(file) {
			return file, nil
		}
	}
	return "", fmt.Errorf("%s: the folder has neither pytorch_lora_weights.safetensors nor adapter_model.safetensors",
		path)
}

// addLoRA has the sets of m add the changes of a file whenever a weight is read.
func (m *Model) addLoRA(l LoRA) error {
	if math.IsNaN(l.Weight) || math.IsInf(l.Weight, 0) {
		return fmt.Errorf("%s: weight %v, want a number", l.Path, l.Weight)
	}
	path, err := findLoRA(l.Path)
	if err != nil {
		return err
	}
	f, err := Open(path)
	if err != nil {
		return err
	}
	m.loras = append(m.loras, f)
	settings, err := loraSettings(f, path)
	if err != nil {
		return err
	}
	layers, err := loraLayers(f)
	if err != nil {
		return err
	}
	targets, unmatched := m.loraTargets(), []string(nil)
	for _, layer := range slices.Sorted(maps.Keys(layers)) {
		part, name := targets.find(layer)
		if name == "" {
			unmatched = append(unmatched, layer)
			continue
		}
		set := m.Part(part)
		c, err := layers[layer].change(f, layer, settings[part])
		if err != nil {
			return err
		}
		info, _ := set.Info(name)
		if err := c.fits(info.Shape); err != nil {
			return fmt.Errorf("%s: layer %q: %w", path, layer, err)
		}
		c.scale *= float32(l.Weight)
		if set.changes == nil {
			set.changes = map[string][]change{}
		}
		set.changes[name] = append(set.changes[name], c)
	}
	if len(unmatched) > 0 {
		return fmt.Errorf("%s: %d of its %d layers are not in the model (%s): it was made for another kind of model, want "+
			"a LoRA for Stable Diffusion 1.x", path, len(unmatched), len(layers), few.Names(unmatched))
	}
	m.Merged = append(m.Merged, fmt.Sprintf("%s: %d layers, weight %g", filepath.Base(path), len(layers), l.Weight))
	return nil
}

// loraLayer is the tensors of a layer by their role.
type loraLayer map[string]string

// loraLayers sorts the tensors of a file. Layers have the names that they have there.
func loraLayers(f *File) (map[string]loraLayer, error) {
	layers := map[string]loraLayer{}
	var strange []string
	for _, name := range f.Names() {
		for _, a := range otherAdapters {
			if strings.Contains(name, a.part) {
				return nil, fmt.Errorf("%s: tensor %q is of %s, want LoRA alone (lora_down and lora_up, or lora_A and lora_B)",
					f.name, name, a.what)
			}
		}
		layer, role, ok := splitLoRA(name)
		if !ok {
			strange = append(strange, name)
			continue
		}
		if layers[layer] == nil {
			layers[layer] = loraLayer{}
		}
		if old, twice := layers[layer][role]; twice {
			return nil, fmt.Errorf("%s: %q and %q are the same part of a LoRA", f.name, old, name)
		}
		layers[layer][role] = name
	}
	switch {
	case len(layers) == 0:
		return nil, fmt.Errorf("%s: no LoRA: %s", f.name, recognise(f))
	case len(strange) > 0:
		return nil, fmt.Errorf("%s: %d tensors that are no part of a LoRA (%s)", f.name, len(strange), few.Names(strange))
	}
	for layer, l := range layers {
		if l["down"] == "" || l["up"] == "" {
			return nil, fmt.Errorf("%s: layer %q has not both halves (lora_down and lora_up, or lora_A and lora_B)", f.name,
				layer)
		}
	}
	return layers, nil
}

// change is what the layer adds at weight 1, for the settings of its part.
func (l loraLayer) change(f *File, layer string, s loraSetting) (change, error) {
	c := change{file: f, down: l["down"], up: l["up"], mid: l["mid"], scale: 1}
	info, _ := f.Info(c.down)
	if len(info.Shape) == 0 || info.Shape[0] < 1 {
		return c, fmt.Errorf("%s: tensor %q has shape %v, want [rank, ...]", f.name, c.down, info.Shape)
	}
	rank := float64(info.Shape[0])
	alpha := s.alpha
	if name := l["alpha"]; name != "" {
		v, err := f.Float32(name)
		if err != nil {
			return c, err
		}
		if len(v) != 1 {
			return c, fmt.Errorf("%s: tensor %q has %d values, want 1", f.name, name, len(v))
		}
		alpha = float64(v[0])
	} else if alpha == 0 {
		alpha = rank
	}
	if s.root {
		rank = math.Sqrt(rank)
	}
	c.scale = float32(alpha / rank)
	if c.scale-c.scale != 0 {
		return c, fmt.Errorf("%s: layer %q: alpha %v over rank %v is no number", f.name, layer, alpha, rank)
	}
	return c, nil
}

// loraSetting is what is said for all layers of a part: alpha, 0 for the rank, and whether it is over the root of the
// rank (rsLoRA).
type loraSetting struct {
	alpha float64
	root  bool
}

// loraSettings reads the settings of PEFT beside a file (adapter_config.json) or in its metadata, by part.
func loraSettings(f *File, path string) (map[string]loraSetting, error) {
	all := map[string]any{}
	where := filepath.Join(filepath.Dir(path), "adapter_config.json")
	both := map[string]any{}
	if strings.HasPrefix(filepath.Base(path), "adapter_model.") && exists(where) {
		text, err := readJSON(where)
		if err == nil {
			err = json.Unmarshal(text, &all)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", where, err)
		}
		for key, v := range all {
			both[UNetPart+"."+key], both[TextPart+"."+key] = v, v
		}
	} else if text := f.meta["lora_adapter_metadata"]; text != "" {
		where = f.name + ": lora_adapter_metadata"
		if err := json.Unmarshal([]byte(text), &both); err != nil {
			return nil, fmt.Errorf("%s: %w", where, err)
		}
	}
	settings := map[string]loraSetting{}
	for _, part := range []string{UNetPart, TextPart} {
		var s loraSetting
		if v, ok := both[part+".lora_alpha"]; ok {
			if s.alpha, ok = v.(float64); !ok {
				return nil, fmt.Errorf("%s: lora_alpha is %v, want a number", where, v)
			}
		}
		s.root, _ = both[part+".use_rslora"].(bool)
		for _, key := range []string{"alpha_pattern", "use_dora", "fan_in_fan_out", "lora_bias"} {
			switch v := both[part+"."+key].(type) {
			case nil:
			case bool:
				if v {
					return nil, fmt.Errorf("%s: %s is true, which is not supported; want false", where, key)
				}
			case map[string]any:
				if len(v) > 0 {
					return nil, fmt.Errorf("%s: %s is set, which is not supported; want the same alpha for all layers", where, key)
				}
			}
		}
		settings[part] = s
	}
	return settings, nil
}

// loraTargets are the weights of a model by the names that LoRA files have for their layers: with "_" for ".", by
// part.
type loraTargets map[string]map[string]string

func (m *Model) loraTargets() loraTargets {
	names := NewNames(m.layout())
	t := loraTargets{}
	for _, part := range m.parts() {
		table := map[string]string{}
		t[part] = table
		if part == VAEPart {
			continue
		}
		for _, name := range m.Part(part).Names() {
			module, ok := strings.CutSuffix(name, ".weight")
			if !ok {
				continue
			}
			module = underscored(module)
			table[module] = name
			if compvis, ok := names.CompVis(part, name); ok && part == UNetPart {
				compvis = strings.TrimSuffix(strings.TrimPrefix(compvis, unetPrefix), ".weight")
				table[underscored(compvis)] = name
			}
			if rest, ok := strings.CutPrefix(module, "text_model_"); ok {
				table[rest] = name
			}
			for own, old := range map[string]string{"_to_out_0": "_to_out", "_q_proj": "_to_q", "_k_proj": "_to_k",
				"_v_proj": "_to_v", "_out_proj": "_to_out"} {
				if rest, ok := strings.CutSuffix(module, own); ok {
					table[rest+old] = name
				}
			}
		}
	}
	return t
}

func underscored(name string) string { return strings.ReplaceAll(name, ".", "_") }

// find gives part and name of the weight that a layer of a LoRA changes, "" for none.
func (t loraTargets) find(layer string) (part, name string) {
	layer = strings.Replace(strings.TrimPrefix(layer, "base_model.model."), ".processor", "", 1)
	layer = underscored(layer)
	for _, p := range [][2]string{{"lora_unet_", UNetPart}, {"unet_", UNetPart}, {"model_diffusion_model_", UNetPart},
		{"diffusion_model_", UNetPart}, {"lora_te_", TextPart}, {"lora_te1_", TextPart}, {"text_encoder_", TextPart}} {
		if rest, ok := strings.CutPrefix(layer, p[0]); ok {
			return p[1], t[p[1]][rest]
		}
	}
	for _, part := range []string{UNetPart, TextPart} {
		if name := t[part][layer]; name != "" {
			return part, name
		}
	}
	return "", ""
}

// fits tells whether the change has the form of a weight of this shape.
func (c *change) fits(shape []int) error {
	down, _ := c.file.Info(c.down)
	up, _ := c.file.Info(c.up)
	if len(shape) < 2 || len(down.Shape) < 2 || len(up.Shape) < 2 {
		return fmt.Errorf("shapes %v and %v do not make a matrix for a weight %v", up.Shape, down.Shape, shape)
	}
	out, in := shape[0], Info{Shape: shape[1:]}.Elems()
	if out < 1 || in < 1 {
		return fmt.Errorf("the weight %v is empty", shape)
	}
	rank, inner := down.Shape[0], up.Shape[1]
	if c.mid != "" {
		mid, _ := c.file.Info(c.mid)
		kernel := Info{Shape: shape[2:]}.Elems()
		if len(mid.Shape) < 2 || mid.Shape[0] != inner || mid.Shape[1] != rank || mid.Elems() != inner*rank*kernel {
			return fmt.Errorf("lora_mid has shape %v, want %d and %d channels with the kernel of the weight %v", mid.Shape,
				inner, rank, shape)
		}
		in = shape[1]
		inner = rank
	}
	if rank != inner || up.Shape[0] != out || up.Elems() != out*up.Shape[1] || down.Elems() != rank*in {
		return fmt.Errorf("shapes %v and %v do not make a weight %v: it was made for another model%s", up.Shape, down.Shape,
			shape, otherWidth(down.Shape[1]))
	}
	return nil
}

// otherWidth names the model whose contexts are this wide.
func otherWidth(in int) string {
	switch in {
	case 1024:
		return " (Stable Diffusion 2?)"
	case 2048:
		return " (SDXL?)"
	}
	return ""
}

// matrix is a tensor of a LoRA as a matrix of the given rows.
func (c *change) matrix(name string, rows int) (blas32.General, error) {
	x, err := c.file.Float32(name)
	if err != nil {
		return blas32.General{}, err
	}
	if asm.HasNonFinite(x) {
		return blas32.General{}, fmt.Errorf("%s: tensor %q holds NaN or an infinity", c.file.name, name)
	}
	cols := len(x) / rows
	return blas32.General{Rows: rows, Cols: cols, Stride: max(1, cols), Data: x}, nil
}

// add adds the change to a weight of the given shape.
func (c *change) add(dst []float32, shape []int) error {
	downInfo, _ := c.file.Info(c.down)
	down, err1 := c.matrix(c.down, downInfo.Shape[0])
	up, err2 := c.matrix(c.up, shape[0])
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if c.mid != "" {
		mid, err := c.matrix(c.mid, up.Cols)
		if err != nil {
			return err
		}
		down = kernels(mid, down)
	}
	w := blas32.General{Rows: up.Rows, Cols: down.Cols, Stride: down.Cols, Data: dst}
	blas32.Gemm(blas.NoTrans, blas.NoTrans, c.scale, up, down, 1, w)
	return nil
}

// kernels is the product of mid [p, q*k] and down [q, in] over q, as [p, in*k].
func kernels(mid, down blas32.General) blas32.General {
	k := mid.Cols / down.Rows
	out := blas32.General{Rows: mid.Rows, Cols: down.Cols * k, Stride: down.Cols * k,
		Data: make([]float32, mid.Rows*down.Cols*k)}
	for p := range mid.Rows {
		row := out.Data[p*out.Stride:][:out.Cols]
		for q := range down.Rows {
			for i, d := range down.Data[q*down.Stride:][:down.Cols] {
				for j, m := range mid.Data[p*mid.Stride+q*k:][:k] {
					row[i*k+j] += d * m
				}
			}
		}
	}
	return out
}
