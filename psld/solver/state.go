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

// Fact is something that the numbers of a run depend on: an option with its value, or the digest of an input.
type Fact struct{ Name, Value string }

// A state on disk is a safetensors file with the method's variables, whose metadata hold the rest and a SHA-256 of it
// all.
const (
	stateFormat  = "psld run 2"
	oldFormat    = "psld run 1" // of latents only, which knew its run by other facts
	maxStateFile = 1<<31 - 1    // bytes: two pictures of 80 megapixels
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
	if errors.Is(err, errOldState) {
		return nil, fmt.Errorf("%s is no state of this version: %w", path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s is not the whole state of a run: %w", path, err)
	}
	return s, nil
}

// Write stores s, whose variables lie in host memory, at path, whole or not at all, and brings it to the disk.
func (s *State) Write(path string) error {
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
	meta := map[string]string{"format": stateFormat, "step": strconv.Itoa(s.Step), "steps": strconv.Itoa(s.Steps),
		"rms": strconv.FormatFloat(s.RMS, 'g', -1, 64), "run": string(run)}
	var entries []weights.Entry
	for _, name := range slices.Sorted(maps.Keys(s.Vars)) {
		t := s.Vars[name]
		raw := littleEndian(t.Data)
		entries = append(entries, weights.Entry{Name: name, DType: weights.F32, Shape: t.Shape, Raw: raw})
	}
	meta["sha256"] = stateDigest(meta, entries)
	var b bytes.Buffer
	err = weights.Encode(&b, entries, meta)
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
	switch got := meta["format"]; got {
	case stateFormat:
	case oldFormat:
		return nil, errOldState
	default:
		return nil, fmt.Errorf("its format is %q, want %q", got, stateFormat)
	}
	s := &State{Vars: map[string]*tensor.Tensor{}}
	var entries []weights.Entry
	for _, name := range slices.Sorted(slices.Values(f.Names())) {
		info, _ := f.Info(name)
		if info.DType != weights.F32 || info.Elems() == 0 {
			return nil, fmt.Errorf("its variable %s is %v %v, want F32", name, info.DType, info.Shape)
		}
		t := tensor.New(info.Shape...)
		if err := weights.NewSet(f).Read(name, info.Shape, t.Data); err != nil {
			return nil, err
		}
		raw, err := f.Bytes(name)
		if err != nil {
			return nil, err
		}
		s.Vars[name] = t
		entries = append(entries, weights.Entry{Name: name, DType: weights.F32, Shape: info.Shape, Raw: raw})
	}
	digest := meta["sha256"]
	delete(meta, "sha256")
	if digest != stateDigest(meta, entries) {
		return nil, errors.New("its bytes have changed since it was written (checksum)")
	}
	step, err1 := strconv.Atoi(meta["step"])
	steps, err2 := strconv.Atoi(meta["steps"])
	rms, err3 := strconv.ParseFloat(meta["rms"], 64)
	if err := errors.Join(err1, err2, err3, json.Unmarshal([]byte(meta["run"]), &s.Run)); err != nil {
		return nil, err
	}
	s.Step, s.Steps, s.RMS = step, steps, rms
	if step < 1 || step > steps || math.IsNaN(rms) {
		return nil, fmt.Errorf("step %d of %d, RMS %v do not fit together", step, steps, rms)
	}
	return s, nil
}

// errOldState is the error of a state that an older version of the program kept.
var errOldState = errors.New("it was kept by an older version of this program, " +
	"whose runs this one cannot go on with; start over, or finish it with that version")

// stateDigest is a checksum of a state's metadata and variables.
func stateDigest(meta map[string]string, vars []weights.Entry) string {
	h := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(meta)) {
		fmt.Fprintf(h, "%q=%q\n", key, meta[key])
	}
	for _, v := range vars {
		fmt.Fprintf(h, "%q %v\n", v.Name, v.Shape)
		h.Write(v.Raw)
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
