package solver

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"

	"psld/internal/atomicfile"
	"psld/tensor"
	"psld/weights"
)

// State is what a run needs to go on after one of its steps. Its random numbers add nothing to that: those of
// a step follow from the seed and the number of the step alone.
//
// On disk it is a safetensors file with the tensors latent and z0, whose metadata hold the rest and a SHA-256 of it all.
type State struct {
	Step, Steps int            // steps done, of how many
	Latent      *tensor.Tensor // [1,h,w,C] after them
	Z0          *tensor.Tensor // [1,h,w,C], the last step's estimate of the clean latent: what a run shows that is cut short
	RMS         float64        // of the last step
	Run         []Fact         // which run it is of
}

// Fact is something that the numbers of a run depend on: an option with its value, or the digest of an input.
type Fact struct{ Name, Value string }

const (
	stateFormat  = "psld run 1"
	maxStateFile = 1 << 28 // bytes: several times the latents of the largest picture
)

// ReadState reads the state that a run kept at path. A file that is not whole is an error.
func ReadState(path string) (*State, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxStateFile+1))
	if err != nil {
		return nil, err
	}
	s, err := parseState(data)
	if err != nil {
		return nil, fmt.Errorf("%s is not the whole state of a run: %w", path, err)
	}
	return s, nil
}

// write stores s at path, whole or not at all, and brings it to the disk.
func (s *State) write(path string) error {
	data, err := s.encode()
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return atomicfile.Write(path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

func (s *State) encode() ([]byte, error) {
	run, err := json.Marshal(s.Run)
	if err != nil {
		return nil, err
	}
	latent, z0 := littleEndian(s.Latent.Data), littleEndian(s.Z0.Data)
	meta := map[string]string{"format": stateFormat, "step": strconv.Itoa(s.Step), "steps": strconv.Itoa(s.Steps),
		"rms": strconv.FormatFloat(s.RMS, 'g', -1, 64), "run": string(run)}
	meta["sha256"] = stateDigest(meta, latent, z0)
	var b bytes.Buffer
	err = weights.Encode(&b, []weights.Entry{
		{Name: "latent", DType: weights.F32, Shape: s.Latent.Shape, Raw: latent},
		{Name: "z0", DType: weights.F32, Shape: s.Z0.Shape, Raw: z0},
	}, meta)
	return b.Bytes(), err
}

func parseState(data []byte) (*State, error) {
	if len(data) > maxStateFile {
		return nil, fmt.Errorf("it has more than %d MiB", maxStateFile>>20)
	}
	f, err := weights.Parse(data)
	if err != nil {
		return nil, err
	}
	meta := f.Metadata()
	if got := meta["format"]; got != stateFormat {
		return nil, fmt.Errorf("its format is %q, want %q", got, stateFormat)
	}
	s := &State{}
	var raw [2][]byte
	for i, name := range []string{"latent", "z0"} {
		info, _ := f.Info(name)
		if info.DType != weights.F32 || len(info.Shape) != 4 || info.Shape[0] != 1 || info.Elems() == 0 {
			return nil, fmt.Errorf("its tensor %s is %v %v, want F32 [1 h w channels]", name, info.DType, info.Shape)
		}
		t := tensor.New(info.Shape...)
		if err := weights.NewSet(f).Read(name, info.Shape, t.Data); err != nil {
			return nil, err
		}
		if raw[i], err = f.Bytes(name); err != nil {
			return nil, err
		}
		if i == 0 {
			s.Latent = t
		} else {
			s.Z0 = t
		}
	}
	digest := meta["sha256"]
	delete(meta, "sha256")
	if digest != stateDigest(meta, raw[0], raw[1]) {
		return nil, errors.New("its bytes have changed since it was written (checksum)")
	}
	step, err1 := strconv.Atoi(meta["step"])
	steps, err2 := strconv.Atoi(meta["steps"])
	rms, err3 := strconv.ParseFloat(meta["rms"], 64)
	if err := errors.Join(err1, err2, err3, json.Unmarshal([]byte(meta["run"]), &s.Run)); err != nil {
		return nil, err
	}
	s.Step, s.Steps, s.RMS = step, steps, rms
	if step < 1 || step > steps || math.IsNaN(rms) || !tensor.Same(s.Latent.Shape, s.Z0.Shape) {
		return nil, fmt.Errorf("step %d of %d, RMS %v, latents %v and %v do not fit together", step, steps, rms, s.Latent.Shape, s.Z0.Shape)
	}
	return s, nil
}

// stateDigest is a checksum of a state's metadata and tensors.
func stateDigest(meta map[string]string, tensors ...[]byte) string {
	h := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(meta)) {
		fmt.Fprintf(h, "%q=%q\n", key, meta[key])
	}
	for _, t := range tensors {
		h.Write(t)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func littleEndian(x []float32) []byte {
	b := make([]byte, 0, 4*len(x))
	for _, v := range x {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}
