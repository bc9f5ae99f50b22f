package weights

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"psld/internal/config"
)

// vqFolder is the VAE's folder in the diffusers layout of an LDM.
const vqFolder = "vqvae"

// openFolder opens the parts of a diffusers folder.
func (m *Model) openFolder(opts Options) error {
	m.kind = "diffusers folder"
	if err := checkPipeline(m.Path); err != nil {
		return err
	}
	vae, err := m.findParts(opts)
	if err != nil {
		return err
	}
	if m.UNet, m.UNetConfig, err = m.openPart(UNetPart, UNetPart, opts.Variant); err != nil {
		return err
	}
	if what := recogniseUNet(m.UNetConfig); what != "" {
		return fmt.Errorf("%s: %s", m.Path, what)
	}
	if opts.VAE != "" {
		err = m.ReplaceVAE(opts.VAE)
	} else {
		m.VAE, m.VAEConfig, err = m.openPart(vae, VAEPart, opts.Variant)
	}
	if err != nil {
		return err
	}
	if vae == vqFolder {
		m.kind = "diffusers folder (LDM)"
	} else if m.TextEncoder, m.TextConfig, err = m.openPart(TextPart, TextPart, opts.Variant); err != nil {
		return err
	}
	scheduler := filepath.Join(m.Path, "scheduler", "scheduler_config.json")
	if exists(scheduler) {
		if m.Scheduler, err = readJSON(scheduler); err != nil {
			return err
		}
		if err := m.readScheduler(m.Path); err != nil {
			return err
		}
	} else if m.isLDM() {
		return fmt.Errorf("%s: not there, and an LDM's noise schedule is nowhere else", scheduler)
	}
	tokenizer := filepath.Join(m.Path, "tokenizer")
	if exists(filepath.Join(tokenizer, "vocab.json")) {
		m.TokenizerDir = tokenizer
	}
	return nil
}

// findParts wants the folders of all parts and gives the name of the VAE's.
func (m *Model) findParts(opts Options) (vae string, err error) {
	vae, want := VAEPart, []string{UNetPart, TextPart, VAEPart}
	if exists(filepath.Join(m.Path, vqFolder)) && !exists(filepath.Join(m.Path, VAEPart)) {
		vae, want = vqFolder, []string{UNetPart, vqFolder}
	}
	for _, part := range want {
		switch {
		case exists(filepath.Join(m.Path, part)), part == vae && opts.VAE != "":
			continue
		case part == VAEPart:
			return "", fmt.Errorf("%s: no folder vae/: the model has no autoencoder; --vae names one", m.Path)
		}
		if what := recogniseFolder(m.Path); what != "" {
			return "", fmt.Errorf("%s: %s", m.Path, what)
		}
		return "", fmt.Errorf("%s: no folder %s/: not a diffusers model (want unet/, vae/ and text_encoder/)", m.Path, part)
	}
	return vae, nil
}

// checkPipeline refuses folders of other families by their model_index.json,
// which may be missing.
func checkPipeline(dir string) error {
	path := filepath.Join(dir, "model_index.json")
	if !exists(path) {
		return nil
	}
	b, err := readJSON(path)
	if err != nil {
		return err
	}
	var index struct {
		Class string `json:"_class_name"`
	}
	if err := json.Unmarshal(b, &index); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	class := index.Class
	switch {
	case class == "", class == "LDMPipeline", class == "LatentConsistencyModelPipeline":
		return nil
	case class == "StableDiffusionControlNetPipeline", strings.HasPrefix(class, "StableDiffusionInpaintPipeline"),
		class == "StableDiffusionPipeline", class == "StableDiffusionImg2ImgPipeline":
		return nil // what is not SD 1.x among these shows in the shapes
	}
	what := "another kind of model"
	for begin, name := range map[string]string{
		"StableDiffusionXL": "Stable Diffusion XL", "StableDiffusion3": "Stable Diffusion 3", "Flux": "Flux",
		"StableDiffusionUpscale": "an upscaler", "StableCascade": "Stable Cascade", "PixArt": "PixArt",
		"Kandinsky": "Kandinsky",
	} {
		if strings.HasPrefix(class, begin) {
			what = name
		}
	}
	return fmt.Errorf("%s: _class_name is %q, %s; want StableDiffusionPipeline (Stable Diffusion 1.x) or LDMPipeline",
		path, class, what)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// readJSON reads a file of JSON, in which infinities and NaN are texts.
func readJSON(path string) (json.RawMessage, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if b = config.Plain(b); !json.Valid(b) {
		return nil, fmt.Errorf("%s: not valid JSON", path)
	}
	return b, nil
}

// openPart opens config and weights in one folder of the diffusers layout.
func (m *Model) openPart(folder, part, variant string) (*Set, json.RawMessage, error) {
	dir := filepath.Join(m.Path, folder)
	config, err := readJSON(filepath.Join(dir, "config.json"))
	if err != nil {
		return nil, nil, err
	}
	set, err := m.openPartWeights(dir, part, variant)
	return set, config, err
}

func (m *Model) openPartWeights(dir, part, variant string) (*Set, error) {
	path, err := findWeights(dir, part, variant)
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(path, ".json") {
		return m.openShards(path, part)
	}
	f, err := m.open(path)
	if err != nil {
		return nil, err
	}
	s := newSet(dir)
	return s, s.addFile(f, part, f.Names())
}

// findWeights finds the file, or the index.json of several, with the weights of
// a part: safetensors before .bin, and in each the variants in their order.
func findWeights(dir, part, variant string) (path string, err error) {
	const unetBase = "diffusion_pytorch_model"
	bases := [][2]string{{unetBase, ".safetensors"}, {unetBase, ".bin"}}
	if part == TextPart {
		bases = [][2]string{{"model", ".safetensors"}, {"pytorch_model", ".bin"}}
	}
	variants := []string{"", "fp16", "bf16"}
	if variant != "" {
		variants = []string{variant}
		if part != UNetPart { // the small parts are often stored once only
			variants = append(variants, "")
		}
	}
	for _, b := range bases {
		base, ext := b[0], b[1]
		for _, v := range variants {
			if v != "" {
				v = "." + v
			}
			for _, name := range []string{base + v + ext, base + ext + ".index" + v + ".json", base + v + ext + ".index.json"} {
				if path := filepath.Join(dir, name); exists(path) {
					return path, nil
				}
			}
		}
	}
	return "", fmt.Errorf("%s: no %s%s or %s%s in variant %q, nor an index.json of either",
		dir, bases[0][0], bases[0][1], bases[1][0], bases[1][1], variants)
}

// readIndex reads which file holds which tensor from an index.json.
func readIndex(path string) (map[string]string, error) {
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
	for name, file := range index.WeightMap {
		if file != filepath.Base(file) || !filepath.IsLocal(file) {
			return nil, fmt.Errorf("%s: tensor %q: %q is not a plain file name", path, name, file)
		}
	}
	return index.WeightMap, nil
}

// openShards opens the files that an index.json lists.
func (m *Model) openShards(path, part string) (*Set, error) {
	index, err := readIndex(path)
	if err != nil {
		return nil, err
	}
	dir := filepath.Dir(path)
	names := map[string][]string{} // by file
	for _, name := range slices.Sorted(maps.Keys(index)) {
		names[index[name]] = append(names[index[name]], name)
	}
	s := newSet(dir)
	for _, file := range slices.Sorted(maps.Keys(names)) {
		f, err := m.open(filepath.Join(dir, file))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		for _, name := range names[file] {
			if !f.Has(name) {
				return nil, fmt.Errorf("%s: tensor %q is not in %s", path, name, f.name)
			}
		}
		if err := s.addFile(f, part, names[file]); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// addFile puts the named tensors of a file into the set, under canonical names.
func (s *Set) addFile(f *File, part string, names []string) error {
	for _, n := range names {
		if ignored(n) {
			continue
		}
		if err := s.add(canonical(part, n), stored{file: f, name: n}); err != nil {
			return err
		}
	}
	return nil
}
