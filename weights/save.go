package weights

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"psld/internal/atomicfile"
	"psld/internal/few"
)

// SaveOptions says how a model is stored. The zero value keeps each tensor's
// type.
type SaveOptions struct {
	// DType is F32, F16 or BF16 for all tensors; "" keeps each as it is stored
	// (F32 for one that is none of the three, F16 for float8). A value too large for F16 is an
	// error that names the tensor; one too small becomes 0.
	DType DType
	// Progress, if not nil, is called after each tensor with the bytes written
	// so far and in all.
	Progress func(done, total int64)
}

// SaveSingle stores a Stable Diffusion model as one safetensors file in CompVis
// names, which A1111, ComfyUI and diffusers' from_single_file read. With the
// weights it holds the text encoder's position_ids (older readers ask for them)
// and, if the model brings one of its own, the noise schedule.
//
// All tensors with a NaN or an infinity are reported together before anything
// is written. The file appears whole or not at all; one tensor at a time is in
// memory. An LDM has no such layout here and is an error.
func SaveSingle(ctx context.Context, path string, m *Model, opts SaveOptions) error {
	if m.TextEncoder == nil {
		return fmt.Errorf("%s: only a Stable Diffusion model is stored as a single file; this has no text encoder", m.Path)
	}
	s := saver{ctx: ctx, opts: opts}
	if err := s.check(m); err != nil {
		return err
	}
	var entries []Entry
	names := NewNames(m.layout())
	for _, part := range m.parts() {
		set := m.Part(part)
		for _, name := range set.Names() {
			compvis, _ := names.CompVis(part, name) // check saw that there is one
			entries = append(entries, s.entry(set, name, compvis, true))
		}
	}
	entries = append(entries, positionIDs(m.TextEncoder)...)
	meta := map[string]string{"format": "pt"}
	marks, err := m.marks()
	if err != nil {
		return err
	}
	entries = append(entries, marks...)
	if m.Scheduler != nil && !m.isDefault() {
		meta[schedulerMeta] = string(m.Scheduler)
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return Write(path, entries, meta)
}

// marks are the tensors by which a single file tells of its noise: the schedule, and the markers of v-prediction and
// of zero terminal signal.
func (m *Model) marks() ([]Entry, error) {
	var list []Entry
	if a := m.AlphasCumprod; a != nil {
		list = append(list, Entry{Name: "alphas_cumprod", DType: F32, Shape: []int{len(a)}, Data: a})
	}
	switch m.Prediction {
	case "v_prediction":
		list = append(list, Entry{Name: vMarker, DType: F32, Shape: []int{0}})
	case "sample":
		return nil, fmt.Errorf("%s: the network predicts the clean latent (prediction_type sample), which a single file "+
			"cannot tell: want the diffusers layout", m.Path)
	}
	if m.zeroSNR() {
		list = append(list, Entry{Name: zeroSNRMarker, DType: F32, Shape: []int{0}})
	}
	return list, nil
}

// positionIDs is the buffer 0, 1, 2.. of the text encoder's positions.
func positionIDs(text *Set) []Entry {
	info, ok := text.Info("text_model.embeddings.position_embedding.weight")
	if !ok {
		return nil
	}
	n := info.Shape[0]
	raw := make([]byte, 0, 8*n)
	for i := range n {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(i))
	}
	return []Entry{{Name: textPrefix + "text_model.embeddings.position_ids", DType: I64, Shape: []int{1, n}, Raw: raw}}
}

// SaveDiffusers stores a model as a diffusers folder: for Stable Diffusion
// unet/, vae/ and text_encoder/, for an LDM unet/ and vqvae/, each a config.json
// and one safetensors file; scheduler/ with the model's own config, else that of
// its noise schedule (SD 1.5's where it has none of its own); tokenizer/ where
// the model has one; and model_index.json. Without a tokenizer a README.md in the folder says
// where to get it.
//
// dir must not exist or be empty. Tensors are checked as in [SaveSingle]; the
// folder is written beside dir and renamed, so it appears whole or not at all.
func SaveDiffusers(ctx context.Context, dir string, m *Model, opts SaveOptions) error {
	s := saver{ctx: ctx, opts: opts}
	if err := s.check(m); err != nil {
		return err
	}
	files, err := m.sideFiles()
	if err != nil {
		return err
	}
	if there, err := os.ReadDir(dir); err == nil && len(there) > 0 {
		return fmt.Errorf("%s: the folder is not empty", dir)
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return atomicfile.WriteDir(dir, func(temp string) error { return m.fill(temp, &s, files) })
}

// fill writes the files of the model into a new folder.
func (m *Model) fill(dir string, s *saver, files map[string][]byte) error {
	for name, data := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			return err
		}
		err := atomicfile.Write(path, func(w io.Writer) error {
			_, err := w.Write(data)
			return err
		})
		if err != nil {
			return err
		}
	}
	for _, part := range m.parts() {
		var entries []Entry
		set := m.Part(part)
		for _, name := range set.Names() {
			entries = append(entries, s.entry(set, name, name, false))
		}
		file := "diffusion_pytorch_model.safetensors"
		if part == TextPart {
			file = "model.safetensors"
		}
		if err := Write(filepath.Join(dir, m.folder(part), file), entries, map[string]string{"format": "pt"}); err != nil {
			return err
		}
	}
	return nil
}

// saver makes entries that read their tensor when it is written.
type saver struct {
	ctx         context.Context
	opts        SaveOptions
	buf         []float32
	done, total int64
}

// check refuses a model that has tensors of no known name or that hold NaN, all
// in one error.
func (s *saver) check(m *Model) error {
	switch s.opts.DType {
	case "", F32, F16, BF16:
	default:
		return fmt.Errorf("dtype %q: want F32, F16, BF16 or none, to keep the stored one", s.opts.DType)
	}
	if m.UNet == nil || m.VAE == nil {
		return fmt.Errorf("%s: not a whole model", m.Path)
	}
	layout := m.layout()
	names := NewNames(layout)
	var errs []error
	for _, part := range m.parts() {
		var unknown []string
		for _, name := range m.Part(part).Names() {
			known := name
			if part == UNetPart && layout.SelfAttention { // its q, k and v are one in the table
				known = qkvNames.Replace(name)
			}
			if _, ok := names.CompVis(part, known); !ok {
				unknown = append(unknown, name)
			}
		}
		if len(unknown) > 0 {
			errs = append(errs, fmt.Errorf("%s: %d tensors that belong to no network (%s)", m.Part(part).name,
				len(unknown), few.Names(unknown)))
		}
	}
	if err := m.CheckValues(s.ctx); err != nil {
		if s.ctx.Err() != nil {
			return s.ctx.Err()
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

var qkvNames = strings.NewReplacer(".to_q.", ".to_qkv.", ".to_k.", ".to_qkv.", ".to_v.", ".to_qkv.")

// entry is the named tensor of a set, to be written under another name.
func (s *saver) entry(set *Set, name, as string, compvis bool) Entry {
	info, _ := set.Info(name)
	dtype := s.opts.DType
	if dtype == "" {
		dtype = F32
		switch info.DType {
		case F16, BF16:
			dtype = info.DType
		case E4M3, E5M2: // which it holds exactly
			dtype = F16
		}
	}
	n := info.Elems()
	bytes := int64(n) * int64(dtype.Size())
	s.total += bytes
	return Entry{Name: as, DType: dtype, Shape: fileShape(name, info.Shape, compvis), Read: func() ([]float32, error) {
		if err := s.ctx.Err(); err != nil {
			return nil, err
		}
		s.buf = slices.Grow(s.buf[:0], n)[:n]
		if err := set.Read(name, info.Shape, s.buf); err != nil {
			return nil, err
		}
		s.done += bytes
		if s.opts.Progress != nil {
			s.opts.Progress(s.done, s.total)
		}
		return s.buf, nil
	}}
}

// fileShape is the shape in which a layout stores a tensor. The attention of a
// VAE, and of an LDM's UNet, consists of linear layers in diffusers and of 1x1
// convolutions in CompVis; the projections around SD 1.x's transformers are
// convolutions in both.
func fileShape(name string, shape []int, compvis bool) []int {
	if !strings.Contains(name, ".attentions.") || !strings.HasSuffix(name, ".weight") || len(shape) < 2 {
		return shape
	}
	as4 := func() []int { return append(slices.Clone(asLinear(shape)), 1, 1) }
	switch {
	case strings.HasSuffix(name, ".proj_in.weight"), strings.HasSuffix(name, ".proj_out.weight"):
		return as4()
	case strings.Contains(name, ".transformer_blocks."):
		return shape
	case compvis:
		return as4()
	}
	return asLinear(shape)
}
