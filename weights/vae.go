package weights

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// OpenVAE opens an autoencoder that comes alone: a diffusers folder with
// config.json, a file of that layout, or a file in CompVis names with or
// without "first_stage_model." in front (vae-ft-mse-840000, *.vae.pt; a whole
// model is taken as well). Only VAE and VAEConfig of the result are set.
func OpenVAE(path string) (*Model, error) {
	m := &Model{Path: path, kind: "autoencoder alone"}
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if st.IsDir() {
		err = m.openVAEFolder()
	} else {
		err = m.openVAEFile()
	}
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// ReplaceVAE takes the autoencoder from another file or folder, as [OpenVAE]
// reads it, in place of the model's own. On an error the model is as it was.
func (m *Model) ReplaceVAE(path string) error {
	v, err := OpenVAE(path)
	if err != nil {
		return err
	}
	m.VAE, m.VAEConfig = v.VAE, v.VAEConfig
	m.files = append(m.files, v.files...)
	return nil
}

func (m *Model) openVAEFolder() error {
	for _, folder := range []string{".", VAEPart, vqFolder} {
		if !exists(filepath.Join(m.Path, folder, "config.json")) {
			continue
		}
		set, config, err := m.openPart(folder, VAEPart, "")
		if err != nil {
			return err
		}
		var class struct {
			Name string `json:"_class_name"`
		}
		if err := json.Unmarshal(config, &class); err != nil {
			return fmt.Errorf("%s: config.json: %w", m.Path, err)
		}
		if class.Name != "AutoencoderKL" && class.Name != "VQModel" {
			return fmt.Errorf("%s: config.json: _class_name is %q, want AutoencoderKL or VQModel", m.Path, class.Name)
		}
		m.VAE, m.VAEConfig = set, config
		return nil
	}
	return fmt.Errorf("%s: no config.json here or in vae/: not the folder of an autoencoder", m.Path)
}

func (m *Model) openVAEFile() error {
	f, err := m.open(m.Path)
	if err != nil {
		return err
	}
	if f.Has("encoder.down_blocks.0.resnets.0.conv1.weight") { // diffusers names
		m.VAE = newSet(m.Path)
		if err := m.VAE.addFile(f, VAEPart, f.Names()); err != nil {
			return err
		}
	} else {
		if what := recogniseForeign(f); what != "" {
			return fmt.Errorf("%s: %s", m.Path, what)
		}
		prefix := vaePrefix
		if f.Has("encoder.conv_in.weight") {
			prefix = ""
		}
		bare := func(name string) string { return prefix + strings.TrimPrefix(name, vaePrefix) }
		names := NewNames(layoutOf(func(name string) bool { return f.Has(bare(name)) }))
		if m.VAE, err = m.sortVAE(f, names, prefix); err != nil {
			return err
		}
	}
	scale := 0.18215
	if m.VAE.Has("quantize.embedding.weight") {
		scale = 1
	}
	m.VAEConfig, err = deriveVAE(m.VAE, scale)
	return err
}

// sortVAE is sortPart for a file in which the VAE's tensors have this prefix.
func (m *Model) sortVAE(f *File, names *Names, prefix string) (*Set, error) {
	if prefix != "" {
		return m.sortPart(f, names, VAEPart, prefix)
	}
	s := newSet(m.Path)
	for _, name := range f.Names() {
		if ignored(vaePrefix+name) || ignored(name) {
			continue
		}
		_, to, ok := names.Diffusers(vaePrefix + name)
		if !ok {
			to = name // for Check to report
		}
		if err := s.add(to, stored{file: f, name: name}); err != nil {
			return nil, err
		}
	}
	return s, nil
}
