package weights

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Model is the weights and configs of a Stable Diffusion 1.x model, in the
// names of the diffusers layout whatever layout it came in.
type Model struct {
	Path string // as given to OpenModel

	UNet, VAE, TextEncoder *Set

	// The config.json of each part, in diffusers form; derived from the shapes
	// for a single file.
	UNetConfig, VAEConfig, TextConfig json.RawMessage
	// Scheduler is scheduler/scheduler_config.json, nil when there is none.
	Scheduler json.RawMessage
	// TokenizerDir is the folder with vocab.json and merges.txt, "" when there
	// is none (use SD 1.5's vocabulary).
	TokenizerDir string

	files []*File
}

// Options says what a model's files leave open. The zero value is right for
// SD 1.5.
type Options struct {
	// Variant picks among the files of a diffusers folder: "fp16" or "bf16".
	// "" takes the plain one, else fp16, else bf16. The VAE and the text
	// encoder may lack the variant, the UNet may not.
	Variant string
	// Heads is the number of attention heads of the UNet of a single file, 8
	// when 0; TextHeads that of its text encoder, hidden size / 64 when 0.
	Heads, TextHeads int
}

// OpenModel opens a diffusers folder (unet/, vae/, text_encoder/, each with
// config.json and safetensors files, sharded or not) or a CompVis single file.
// Names that no network wants (EMA copies, schedule buffers, position_ids) are
// left out; any other tensor of the three parts stays, for [Check] to report.
func OpenModel(path string) (*Model, error) { return OpenModelWith(path, Options{}) }

// OpenModelWith is [OpenModel] with options.
func OpenModelWith(path string, opts Options) (*Model, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	m := &Model{Path: path}
	if st.IsDir() {
		err = m.openFolder(opts)
	} else {
		err = m.openSingle(opts)
	}
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// Close closes the files of the model; its sets must not be used afterwards.
func (m *Model) Close() error {
	var errs []error
	for _, f := range m.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

func (m *Model) open(path string) (*File, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	m.files = append(m.files, f)
	return f, nil
}

// openSingle sorts the tensors of a CompVis file into the three parts.
func (m *Model) openSingle(opts Options) error {
	f, err := m.open(m.Path)
	if err != nil {
		return err
	}
	prefixes := []struct {
		compvis, part string
		set           **Set
	}{
		{"model.diffusion_model.", UNetPart, &m.UNet},
		{"first_stage_model.", VAEPart, &m.VAE},
		{"cond_stage_model.transformer.", TextPart, &m.TextEncoder},
	}
	for _, p := range prefixes {
		*p.set = &Set{name: m.Path + " (" + p.part + ")", tensors: map[string]stored{}}
	}
	names := NewNames(layoutOf(f))
	for _, full := range f.Names() {
		if ignored(full) {
			continue
		}
		for _, p := range prefixes {
			rest, ok := strings.CutPrefix(full, p.compvis)
			if !ok {
				continue
			}
			// Some tools leave "text_model." out.
			name := full
			if p.part == TextPart && !strings.HasPrefix(rest, "text_model.") {
				name = p.compvis + "text_model." + rest
			}
			_, to, ok := names.Diffusers(name)
			if !ok {
				to = full // for Check to report
			}
			if err := (*p.set).add(to, f, full); err != nil {
				return err
			}
		}
	}
	for _, p := range prefixes {
		if len((*p.set).tensors) == 0 {
			return fmt.Errorf("%s: no tensors %s*: %s", m.Path, p.compvis, whatIsIt(f))
		}
	}
	return m.deriveConfigs(opts.Heads, opts.TextHeads)
}

// whatIsIt guesses the family of a file that is no SD 1.x checkpoint.
func whatIsIt(f *File) string {
	for _, name := range f.Names() {
		switch {
		case strings.HasPrefix(name, "conditioner.embedders."):
			return "this is an SDXL checkpoint, want Stable Diffusion 1.x"
		case strings.HasPrefix(name, "cond_stage_model.model."):
			return "this is a Stable Diffusion 2.x checkpoint, want 1.x"
		case strings.HasPrefix(name, "lora_"):
			return "this is a LoRA, want a whole Stable Diffusion 1.x checkpoint"
		case strings.HasPrefix(name, "down_blocks."), strings.HasPrefix(name, "text_model."), strings.HasPrefix(name, "encoder."):
			return "this is one part of a diffusers model; give the folder that holds unet/, vae/ and text_encoder/"
		}
	}
	return "not a Stable Diffusion 1.x checkpoint"
}

// openFolder opens the parts of a diffusers folder.
func (m *Model) openFolder(opts Options) error {
	for _, p := range []struct {
		part   string
		set    **Set
		config *json.RawMessage
	}{
		{UNetPart, &m.UNet, &m.UNetConfig},
		{VAEPart, &m.VAE, &m.VAEConfig},
		{TextPart, &m.TextEncoder, &m.TextConfig},
	} {
		dir := filepath.Join(m.Path, p.part)
		if _, err := os.Stat(dir); err != nil {
			return fmt.Errorf("%s: no folder %s/: not a diffusers model (want unet/, vae/ and text_encoder/)", m.Path, p.part)
		}
		config, err := readJSON(filepath.Join(dir, "config.json"))
		if err != nil {
			return err
		}
		*p.config = config
		if *p.set, err = m.openPart(dir, p.part, opts.Variant); err != nil {
			return err
		}
	}
	scheduler := filepath.Join(m.Path, "scheduler", "scheduler_config.json")
	if _, err := os.Stat(scheduler); err == nil {
		if m.Scheduler, err = readJSON(scheduler); err != nil {
			return err
		}
	}
	tokenizer := filepath.Join(m.Path, "tokenizer")
	if _, err := os.Stat(filepath.Join(tokenizer, "vocab.json")); err == nil {
		m.TokenizerDir = tokenizer
	}
	return nil
}

func readJSON(path string) (json.RawMessage, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if !json.Valid(b) {
		return nil, fmt.Errorf("%s: not valid JSON", path)
	}
	return b, nil
}

// openPart opens the weights in one folder of the diffusers layout.
func (m *Model) openPart(dir, part, variant string) (*Set, error) {
	base := "diffusion_pytorch_model"
	if part == TextPart {
		base = "model"
	}
	variants := []string{"", "fp16", "bf16"}
	if variant != "" {
		variants = []string{variant}
		if part != UNetPart { // the small parts are often stored once only
			variants = append(variants, "")
		}
	}
	for _, v := range variants {
		if v != "" {
			v = "." + v
		}
		path := filepath.Join(dir, base+v+".safetensors")
		if _, err := os.Stat(path); err == nil {
			f, err := m.open(path)
			if err != nil {
				return nil, err
			}
			return merge(dir, part, map[*File][]string{f: f.Names()})
		}
		for _, index := range []string{base + ".safetensors.index" + v + ".json", base + v + ".safetensors.index.json"} {
			path := filepath.Join(dir, index)
			if _, err := os.Stat(path); err == nil {
				return m.openShards(path, part)
			}
		}
	}
	return nil, fmt.Errorf("%s: no %s.safetensors in variant %q, nor its index.json (.bin files are not read: convert them to safetensors)",
		dir, base, variants)
}

// openShards opens the files that an index.json lists.
func (m *Model) openShards(path, part string) (*Set, error) {
	b, err := readJSON(path)
	if err != nil {
		return nil, err
	}
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(b, &index); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(index.WeightMap) == 0 {
		return nil, fmt.Errorf("%s: no weight_map", path)
	}
	dir := filepath.Dir(path)
	shards := map[string]*File{}
	names := map[*File][]string{}
	for _, name := range slices.Sorted(maps.Keys(index.WeightMap)) {
		file := index.WeightMap[name]
		if file != filepath.Base(file) || !filepath.IsLocal(file) {
			return nil, fmt.Errorf("%s: tensor %q: %q is not a plain file name", path, name, file)
		}
		if shards[file] == nil {
			if shards[file], err = m.open(filepath.Join(dir, file)); err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
		}
		f := shards[file]
		if !f.Has(name) {
			return nil, fmt.Errorf("%s: tensor %q is not in %s", path, name, f.name)
		}
		names[f] = append(names[f], name)
	}
	return merge(dir, part, names)
}

// merge makes one set, in canonical names, of the named tensors of some files.
func merge(name, part string, files map[*File][]string) (*Set, error) {
	s := &Set{name: name, tensors: map[string]stored{}}
	for f, names := range files {
		for _, n := range names {
			if ignored(n) {
				continue
			}
			if err := s.add(canonical(part, n), f, n); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}
