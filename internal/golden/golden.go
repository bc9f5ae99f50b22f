// Package golden gives tests the reference cases: tensors and scalars that
// independent implementations computed.
//
// Cases lie in folders, one kind of case a folder, under testdata/golden of
// this repository or under the folder that the environment variable
// PSLD_GOLDEN names. Tests find cases by walking the folder and take every
// size from the case's JSON: other sets of the same form are run too.
package golden

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"psld/weights"
)

// Root is the folder of this repository's go.mod, "" when the sources are gone. go test starts a package's tests in
// the folder of its sources; it is looked up before a test goes elsewhere.
func Root() string { return root }

var root = func() string {
	dir, err := os.Getwd()
	for err == nil {
		if exists(filepath.Join(dir, "go.mod")) {
			return dir
		}
		if dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	return ""
}()

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Dir is the folder of all cases: $PSLD_GOLDEN, else testdata/golden. It skips
// the test when there is no such folder; a PSLD_GOLDEN that names none fails.
func Dir(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv("PSLD_GOLDEN"); dir != "" {
		if !exists(dir) {
			t.Fatalf("PSLD_GOLDEN=%s: no such folder", dir)
		}
		return dir
	}
	dir := filepath.Join(Root(), "testdata", "golden")
	if !exists(dir) {
		t.Skipf("no golden cases: %s is missing and PSLD_GOLDEN is not set", dir)
	}
	return dir
}

// Load opens a safetensors file for the length of the test. A file that is not
// there skips the test (the in-tree copy is a selection); a bad one fails it.
func Load(t testing.TB, path string) *weights.File {
	t.Helper()
	if !exists(path) {
		t.Skipf("golden file %s is not in this set", path)
	}
	f, err := weights.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// JSON reads a JSON file into v, skipping the test when there is none.
func JSON(t testing.TB, path string, v any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		t.Skipf("golden file %s is not in this set", path)
	}
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// F32 is the named tensor of f with its shape; it fails the test when f has
// none of that name.
func F32(t testing.TB, f *weights.File, name string) (data []float32, shape []int) {
	t.Helper()
	info, _ := f.Info(name)
	data, err := f.Float32(name)
	if err != nil {
		t.Fatal(err)
	}
	return data, info.Shape
}

// RelL2 is ||got-want|| / ||want||, in float64; against an all-zero want it is
// ||got||. NaN in either gives NaN. Slices of different lengths give +Inf.
func RelL2(got, want []float32) float64 {
	if len(got) != len(want) {
		return math.Inf(1)
	}
	var diff, ref float64
	for i, w := range want {
		d := float64(got[i]) - float64(w)
		diff += d * d
		ref += float64(w) * float64(w)
	}
	if ref == 0 {
		return math.Sqrt(diff)
	}
	return math.Sqrt(diff / ref)
}

// Check compares got with want and reports an error unless
// RelL2 <= limit and the largest single difference is at most 10*limit of the
// largest |want|: the second catches one wrong element in a large tensor.
func Check(t testing.TB, name string, got, want []float32, limit float64) {
	t.Helper()
	if err := compare(got, want, limit); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

func compare(got, want []float32, limit float64) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d values, want %d", len(got), len(want))
	}
	var maxAbs, refMax float64
	at := 0
	for i, w := range want {
		g, w := float64(got[i]), float64(w)
		if math.IsNaN(g) || math.IsInf(g, 0) {
			return fmt.Errorf("element %d of %d is %v, want %v", i, len(got), g, w)
		}
		if d := math.Abs(g - w); d > maxAbs {
			maxAbs, at = d, i
		}
		refMax = max(refMax, math.Abs(w))
	}
	rel := RelL2(got, want)
	maxRel := maxAbs
	if refMax > 0 {
		maxRel = maxAbs / refMax
	}
	// Written so that a NaN in want fails too.
	if !(rel <= limit && maxRel <= 10*limit) {
		return fmt.Errorf("rel_l2 %.3g (limit %.3g), max_abs/ref_max %.3g (limit %.3g); worst at %d of %d: got %v, want %v",
			rel, limit, maxRel, 10*limit, at, len(got), got[at], want[at])
	}
	return nil
}
