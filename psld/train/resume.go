package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"psld/internal/atomicfile"
	"psld/internal/memstat"
	"psld/tensor"
	"psld/weights"
)

// prepareOut makes the folder of the run. A run that is there is neither written over nor mixed with another one
// unless asked for.
func (o *Options) prepareOut() error {
	if err := os.MkdirAll(o.Out, 0o777); err != nil {
		return err
	}
	checkpoint := filepath.Join(o.Out, "checkpoint.safetensors")
	if err := atomicfile.Check(checkpoint); err != nil {
		return fmt.Errorf("%s cannot be written: %w", o.Out, err)
	}
	if o.Resume {
		return nil
	}
	there, err := os.ReadDir(o.Out)
	if err != nil {
		return err
	}
	for _, e := range there {
		name := e.Name()
		sheet := strings.HasPrefix(name, "sheet-") && strings.HasSuffix(name, ".png")
		if !sheet && !slices.Contains([]string{"checkpoint.safetensors", "model.safetensors", "unet.safetensors",
			"vae.safetensors", "log.csv", "curves.png"}, name) {
			continue
		}
		if !o.Overwrite {
			return fmt.Errorf("%s holds a run already (%s): resume goes on with it, overwrite begins anew", o.Out,
				runThere(checkpoint, name))
		}
		if err := os.Remove(filepath.Join(o.Out, name)); err != nil {
			return err
		}
	}
	return nil
}

// runThere says what run a folder holds: as its checkpoint has it, else by the file.
func runThere(checkpoint, file string) string {
	f, err := weights.Open(checkpoint)
	if err != nil {
		return file
	}
	defer f.Close()
	return fmt.Sprintf("%s, step %s", f.Metadata()["kind"], f.Metadata()["step"])
}

// runFacts are what the steps depend on, by the names of the options.
func (r *trainer) runFacts() map[string]string {
	o := r.Options
	facts := map[string]string{"data": r.photos.Digest(), "size": fmt.Sprint(o.Size), "steps": fmt.Sprint(o.Steps),
		"batch": fmt.Sprint(o.Batch), "micro": fmt.Sprint(max(1, o.Micro)), "lr": fmt.Sprint(o.LR),
		"warmup": fmt.Sprint(o.Warmup), "cycle": fmt.Sprint(o.Cycle), "ema": fmt.Sprint(o.EMA), "seed": fmt.Sprint(o.Seed),
		"init": filepath.Base(o.Init), "dtype": precision(r.device())}
	maps.Copy(facts, r.facts())
	return facts
}

// precision is the last part of a device's name, whatever its kernels: a training may go on at another machine.
func precision(dev tensor.Device) string {
	for _, name := range []string{"bf16", "bf16fast", "f32x3", "int8"} {
		if strings.HasSuffix(dev.Name(), "/"+name) {
			return name
		}
	}
	return "f32"
}

// checkpointMetadata is what the checkpoint says of the run.
func (r *trainer) checkpointMetadata() map[string]string {
	meta := maps.Clone(r.metadata())
	facts, _ := json.Marshal(r.runFacts()) // strings
	meta["run"] = string(facts)
	return meta
}

// checkFacts refuses the checkpoint of another run.
func (r *trainer) checkFacts(meta map[string]string) error {
	want := r.metadata()
	if meta["kind"] != want["kind"] {
		return fmt.Errorf("it is that of a %s, not of a %s", meta["kind"], want["kind"])
	}
	text, ok := meta["run"]
	if !ok { // of an earlier version
		if r.Log != nil {
			fmt.Fprintln(r.Log, "note: the checkpoint does not tell its options: they are not compared")
		}
		return nil
	}
	var old map[string]string
	if err := json.Unmarshal([]byte(text), &old); err != nil {
		return err
	}
	now := r.runFacts()
	var differ []string
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if a, b := old[name], now[name]; a != b {
			if name == "data" || name == "vae" {
				differ = append(differ, name+" is another")
				continue
			}
			differ = append(differ, fmt.Sprintf("%s was %s, is %s", name, a, b))
		}
	}
	if differ == nil && !sameNetwork(meta["config"], want["config"]) {
		differ = []string{"the network is another"}
	}
	if differ != nil {
		return fmt.Errorf("it is that of another run: %s", strings.Join(differ, "; "))
	}
	return nil
}

// sameNetwork compares configurations, but for the scaling factor of an autoencoder, which the training measures.
func sameNetwork(a, b string) bool {
	var x, y map[string]any
	if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
		return a == b
	}
	delete(x, "scaling_factor")
	delete(y, "scaling_factor")
	p, _ := json.Marshal(x)
	q, _ := json.Marshal(y)
	return string(p) == string(q)
}

// checkSpace looks for room for checkpoint and model: weights, both moments and the average as float32, the model as
// float16, and the last ones beside them until they are replaced.
func (r *trainer) checkSpace() error {
	need := int64(r.params().Count()) * (16 + 2) * 2
	if free, ok := atomicfile.Free(r.Out); ok && free < need {
		return fmt.Errorf("%s: the disk has %s left, checkpoint and model take %s", r.Out, memstat.Words(free),
			memstat.Words(need))
	}
	return nil
}

// openLog opens log.csv behind the row of a step: what a run wrote after its last checkpoint is written again.
func openLog(path string, step int) (*os.File, error) {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var kept strings.Builder
	for line := range strings.Lines(string(text)) {
		number, _, _ := strings.Cut(line, ",")
		if at, err := strconv.Atoi(number); err == nil && at <= step && strings.HasSuffix(line, "\n") {
			kept.WriteString(line)
		}
	}
	if kept.Len() != len(text) {
		err := atomicfile.Write(path, func(w io.Writer) error {
			_, err := io.WriteString(w, kept.String())
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
}
