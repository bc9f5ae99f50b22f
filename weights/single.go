package weights

import (
	"fmt"
	"slices"
	"strings"
)

// The prefixes of the three parts in a CompVis file.
const (
	unetPrefix = "model.diffusion_model."
	vaePrefix  = "first_stage_model."
	textPrefix = "cond_stage_model.transformer."
	condPrefix = "cond_stage_model."
)

// openSingle sorts the tensors of a CompVis file into the parts.
func (m *Model) openSingle(opts Options) error {
	f, err := m.open(m.Path)
	if err != nil {
		return err
	}
	if what := recogniseForeign(f); what != "" {
		return fmt.Errorf("%s: %s", m.Path, what)
	}
	layout := layoutOf(f.Has)
	names := NewNames(layout)
	if m.UNet, err = m.sortUNet(f, names, layout.SelfAttention, opts); err != nil {
		return err
	}
	if opts.VAE != "" {
		err = m.ReplaceVAE(opts.VAE)
	} else {
		m.VAE, err = m.sortPart(f, names, VAEPart, vaePrefix)
	}
	if err != nil {
		return err
	}
	m.kind = "single file (CompVis)"
	if !layout.SelfAttention {
		if m.TextEncoder, err = m.sortPart(f, names, TextPart, textPrefix); err != nil {
			return err
		}
	} else {
		m.kind = "single file (LDM)"
		for _, name := range f.Names() {
			if strings.HasPrefix(name, condPrefix) {
				return fmt.Errorf("%s: an LDM with a condition (tensor %q): only unconditional ones are supported", m.Path, name)
			}
		}
	}
	if err := m.diffusionOf(f); err != nil {
		return err
	}
	if m.AlphasCumprod == nil && m.isLDM() {
		return fmt.Errorf("%s: no tensor alphas_cumprod of %d F32 values, which is the noise schedule of an LDM",
			m.Path, trainSteps)
	}
	return m.deriveConfigs(opts)
}

// sortPart makes the set of the tensors of f that begin with prefix, under
// their diffusers names.
func (m *Model) sortPart(f *File, names *Names, part, prefix string) (*Set, error) {
	s := newSet(m.Path + " (" + part + ")")
	for _, full := range f.Names() {
		rest, ok := strings.CutPrefix(full, prefix)
		if !ok || ignored(full) {
			continue
		}
		// Some tools leave "text_model." out.
		name := full
		if part == TextPart && !strings.HasPrefix(rest, "text_model.") {
			name = prefix + "text_model." + rest
		}
		_, to, ok := names.Diffusers(name)
		if !ok {
			to = full // for Check to report
		}
		if err := s.add(to, stored{file: f, name: full}); err != nil {
			return nil, err
		}
	}
	if len(s.tensors) > 0 {
		return s, nil
	}
	what := recognise(f)
	if slices.ContainsFunc(f.Names(), func(name string) bool { return strings.HasPrefix(name, unetPrefix) }) {
		what = map[string]string{VAEPart: "the file has no autoencoder; --vae names one",
			TextPart: "the file has no text encoder; want a whole model"}[part]
	}
	return nil, fmt.Errorf("%s: no tensors %s*: %s", m.Path, prefix, what)
}

// sortUNet is sortPart for the UNet, whose tensors may have an averaged copy
// and, in an LDM, hold the three matrices of an attention in one.
func (m *Model) sortUNet(f *File, names *Names, ldm bool, opts Options) (*Set, error) {
	s, err := m.sortPart(f, names, UNetPart, unetPrefix)
	if err != nil {
		return nil, err
	}
	switch opts.EMA {
	case "", "yes", "no":
	default:
		return nil, fmt.Errorf("EMA %q: want yes or no", opts.EMA)
	}
	if opts.EMA == "yes" || opts.EMA == "" && ldm {
		if err := s.takeEMA(); err != nil && opts.EMA == "yes" {
			return nil, err
		}
	}
	if !ldm {
		return s, nil
	}
	width := opts.HeadWidth
	if width == 0 {
		width = ldmHeadWidth
	}
	for _, name := range s.Names() {
		if err := s.split(name, width); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// takeEMA puts the averaged copies in place of all tensors of a UNet, or of
// none. A copy's name is that of the original, without its dots.
func (s *Set) takeEMA() error {
	copies := map[string]stored{}
	for name, at := range s.tensors {
		ema := "model_ema." + strings.ReplaceAll(strings.TrimPrefix(at.name, "model."), ".", "")
		if !at.file.Has(ema) {
			return fmt.Errorf("%s: no averaged copy (EMA) of tensor %q: %q is missing", s.name, at.name, ema)
		}
		copies[name] = stored{file: at.file, name: ema}
	}
	s.tensors = copies
	return nil
}

// split puts to_q, to_k and to_v in the place of a to_qkv, a tensor [3C, C, 1]
// or [3C]: one head after the other, its q, k and v each of width rows
// (QKVAttentionLegacy of the latent-diffusion repository).
func (s *Set) split(name string, width int) error {
	const qkv = ".to_qkv."
	if !strings.Contains(name, qkv) {
		return nil
	}
	at := s.tensors[name]
	info, _ := s.Info(name)
	if len(info.Shape) == 0 || width < 1 || info.Shape[0]%(3*width) != 0 {
		return fmt.Errorf("%s: tensor %q has shape %v, which are no whole heads of %d channels", s.name, at.name,
			info.Shape, width)
	}
	delete(s.tensors, name)
	for i, part := range []string{".to_q.", ".to_k.", ".to_v."} {
		at.rows = rows{first: i * width, run: width, step: 3 * width}
		if err := s.add(strings.Replace(name, qkv, part, 1), at); err != nil {
			return err
		}
	}
	return nil
}
