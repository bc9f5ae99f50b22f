package weights

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Summary describes what a model consists of.
type Summary struct {
	Path   string
	Layout string // "diffusers folder", "single file (CompVis)", or the same of an LDM
	Parts  []PartSummary
	Unused int // tensors in the files that no part has: EMA copies, buffers
	// Warnings tell what was found and not understood, in a line each.
	Warnings []string
}

// PartSummary describes one part of a model.
type PartSummary struct {
	Name    string // "unet", "vae" or "text_encoder"
	Class   string // of the config, e.g. "UNet2DConditionModel"; "" when it says none
	Tensors int
	Params  int           // elements of all tensors
	Bytes   int64         // as stored
	DTypes  map[DType]int // tensors by type
	Files   []string      // in alphabetical order
}

// Summary counts what the model consists of, without reading a tensor.
func (m *Model) Summary() Summary {
	s := Summary{Path: m.Path, Layout: m.kind, Warnings: m.Warnings}
	used := map[string]bool{}
	for _, part := range m.parts() {
		set := m.Part(part)
		p := PartSummary{Name: part, Tensors: len(set.tensors), DTypes: map[DType]int{}}
		files := map[string]bool{}
		for name, at := range set.tensors {
			info, _ := set.Info(name)
			p.Params += info.Elems()
			p.Bytes += int64(info.Elems()) * int64(info.DType.Size())
			p.DTypes[info.DType]++
			files[at.file.name] = true
			used[at.file.name+"\x00"+at.name] = true
		}
		p.Files = slices.Sorted(maps.Keys(files))
		var config struct {
			Class         string   `json:"_class_name"`
			Architectures []string // of transformers
		}
		if err := json.Unmarshal(m.config(part), &config); err == nil {
			p.Class = config.Class
			if p.Class == "" && len(config.Architectures) > 0 {
				p.Class = config.Architectures[0]
			}
		}
		if p.Class == "" && part == TextPart {
			p.Class = "CLIPTextModel"
		}
		s.Parts = append(s.Parts, p)
	}
	for _, f := range m.files {
		s.Unused += len(f.tensors)
	}
	s.Unused -= len(used)
	return s
}

// String is the summary in lines, one for each part.
func (s Summary) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", s.Path, s.Layout)
	for _, p := range s.Parts {
		var types []string
		for _, d := range slices.Sorted(maps.Keys(p.DTypes)) {
			types = append(types, fmt.Sprintf("%s x%d", d, p.DTypes[d]))
		}
		files := p.Files
		if len(files) > 2 {
			files = []string{files[0], fmt.Sprintf("and %d more", len(files)-1)}
		}
		fmt.Fprintf(&b, "  %-12s  %-20s  %4d tensors  %11d parameters  %7.1f MB  %s  %s\n",
			p.Name, p.Class, p.Tensors, p.Params, float64(p.Bytes)/1e6, strings.Join(types, ", "), strings.Join(files, ", "))
	}
	if s.Unused > 0 {
		fmt.Fprintf(&b, "  %d other tensors are not used (copies of the training, schedules, buffers)\n", s.Unused)
	}
	return b.String()
}
