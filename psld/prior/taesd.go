package prior

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"psld/internal/config"
	"psld/tensor"
	"psld/vae"
	"psld/weights"
)

// LoadTAESD opens the weights of a tiny autoencoder of TAESD's architecture, frozen and packed for dev.
// path is one of:
//
//   - a folder with diffusion_pytorch_model.safetensors (diffusers' AutoencoderTiny), or that file;
//   - a folder with taesd_encoder and taesd_decoder, .safetensors or .pth, as they are published
//     (github.com/madebyollin/taesd);
//   - one of those two files; the other one is looked for beside it. A decoder alone is enough.
//
// Sizes are read off the tensors. A config.json beside a diffusers file may not ask for another
// activation, up-sampling or scale of the latents than TAESD's.
func LoadTAESD(path string, dev tensor.Device) (*vae.TAESD, error) {
	m, err := loadTAESD(path, dev)
	if err != nil {
		return nil, fmt.Errorf("tiny autoencoder %s: %w", path, err)
	}
	return m, nil
}

func loadTAESD(path string, dev tensor.Device) (*vae.TAESD, error) {
	files, err := taesdFiles(path)
	if err != nil {
		return nil, err
	}
	src := taesdSource{}
	for _, name := range files {
		f, err := weights.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		if err := src.add(f); err != nil {
			return nil, err
		}
	}
	if err := checkTAESDConfig(filepath.Join(filepath.Dir(files[0]), "config.json")); err != nil {
		return nil, err
	}
	cfg, err := src.sizes()
	if err != nil {
		return nil, err
	}
	m := vae.NewTAESD(cfg)
	if err := weights.Check(src, m.Params.Shapes()); err != nil {
		return nil, err
	}
	return m, m.Params.LoadFrozen(src, dev)
}

// taesdFiles lists the one or two files that path stands for.
func taesdFiles(path string) ([]string, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if st.IsDir() {
		for _, name := range []string{"diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors",
			"taesd_decoder.safetensors", "taesd_decoder.pth"} {
			if file := filepath.Join(path, name); exists(file) {
				return taesdFiles(file)
			}
		}
		return nil, errors.New("the folder has neither diffusion_pytorch_model.safetensors nor " +
			"taesd_decoder.safetensors or .pth")
	}
	files := []string{path}
	dir, base := filepath.Split(path)
	for _, pair := range [][2]string{{"decoder", "encoder"}, {"encoder", "decoder"}} {
		if other := filepath.Join(dir, strings.Replace(base, pair[0], pair[1], 1)); strings.Contains(base, pair[0]) &&
			exists(other) {
			files = append(files, other)
		}
	}
	return files, nil
}

// checkTAESDConfig refuses a configuration, where there is one, that computes something else.
func checkTAESDConfig(path string) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return config.Parse(b, &struct{}{}, config.Keys{
		"_class_name":               {`"AutoencoderTiny"`},
		"act_fn":                    {`"relu"`},
		"upsample_fn":               {`"nearest"`},
		"upsampling_scaling_factor": {"2"},
		"scaling_factor":            {"1"},
		"shift_factor":              {"0", "null"},
	})
}

// taesdSource gives the tensors of one or two files under diffusers' names.
type taesdSource map[string]taesdTensor

type taesdTensor struct {
	set  *weights.Set
	name string // in the file
}

// taesdName is a name in the published files: the number of a layer of an nn.Sequential.
var taesdName = regexp.MustCompile(`^(?:(encoder|decoder)\.)?(\d{1,4})\.(.+)$`)

// add names the tensors of f. In the published files the decoder's limiter is layer 0, which
// has no parameters, and so the numbers of the others are one higher than diffusers'. A file of one half
// does not say which: only the encoder has parameters in layer 0.
func (s taesdSource) add(f *weights.File) error {
	set, lone := weights.NewSet(f), "decoder"
	if f.Has("0.weight") {
		lone = "encoder"
	}
	for _, name := range f.Names() {
		to := name
		if part := taesdName.FindStringSubmatch(name); part != nil {
			half := part[1]
			if half == "" {
				half = lone
			}
			n, _ := strconv.Atoi(part[2])
			if half == "decoder" {
				n--
			}
			to = fmt.Sprintf("%s.layers.%d.%s", half, n, part[3])
		}
		if old, twice := s[to]; twice {
			return fmt.Errorf("tensor %s is there twice, as %s and as %s", to, old.name, name)
		}
		s[to] = taesdTensor{set, name}
	}
	return nil
}

// Names implements [weights.Source].
func (s taesdSource) Names() []string {
	var names []string
	for name := range s {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Info describes the named tensor as it is stored.
func (s taesdSource) Info(name string) (weights.Info, bool) {
	if t, ok := s[name]; ok {
		return t.set.Info(t.name)
	}
	return weights.Info{}, false
}

// Read implements [nn.Source].
func (s taesdSource) Read(name string, shape []int, dst []float32) error {
	t, ok := s[name]
	if !ok {
		return fmt.Errorf("no tensor %s (want shape %v)", name, shape)
	}
	return t.set.Read(t.name, shape, dst)
}

// sizes reads the configuration of the network off its tensors.
func (s taesdSource) sizes() (vae.TAESDConfig, error) {
	// Channels from the decoder's two ends.
	first, ok := s.Info("decoder.layers.0.weight")
	if !ok || len(first.Shape) != 4 {
		return vae.TAESDConfig{}, errors.New("no decoder.layers.0.weight (1.weight in a file of the decoder alone) of " +
			"four dimensions: not the decoder of a TAESD model")
	}
	cfg := vae.TAESDConfig{Channels: first.Shape[0], LatentChannels: first.Shape[1], InChannels: 3,
		EncoderBlocks: s.blocks("encoder"), DecoderBlocks: s.blocks("decoder")}
	return cfg, cfg.Validate()
}

// blocks counts the residual blocks between the convolutions of one half; nil where there are none.
func (s taesdSource) blocks(half string) []int {
	var count []int
	const end = 256
	for i := range end {
		if _, ok := s[fmt.Sprintf("%s.layers.%d.weight", half, i)]; ok {
			count = append(count, 0)
		} else if _, ok := s[fmt.Sprintf("%s.layers.%d.conv.0.weight", half, i)]; ok && count != nil {
			count[len(count)-1]++
		}
	}
	if len(count) < 2 {
		return nil
	}
	return count[:len(count)-1] // the last convolution ends the network
}
