package golden

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Kinds lists the kinds of case folders.
var Kinds = []string{
	"ops",           // index.json: single operations, forward and backward
	"tiny-sd",       // case.json and weights: a small model, whole networks
	"gen-tiny-1244", // case.json with weight_rule: networks with generated weights
	"gen-full-sd15", // the same at full size; found as the same form
	"psld",          // schedule.safetensors: PSLD step by step
	"baselines",     // baselines.json: DPS and DDRM
	"metrics",       // metrics.json: PSNR, SSIM, LPIPS, FID
	"tokenizer",     // prompts.json: token ids
	"keys",          // totals.json: names and shapes at full size
}

// fullSize is the model_channels from which a generated case counts as full
// size: SD 1.5 has 320.
const fullSize = 256

// KindOf names the kind of the case folder dir: by its own name, else by what
// lies in it. It is "" for a folder of no known kind.
func KindOf(dir string) string {
	base := filepath.Base(dir)
	for _, kind := range Kinds {
		if base == kind {
			return kind
		}
	}
	has := func(name string) bool { return exists(filepath.Join(dir, name)) }
	switch {
	case has("totals.json"):
		return "keys"
	case has("prompts.json"):
		return "tokenizer"
	case has("metrics.json"):
		return "metrics"
	case has("baselines.json"):
		return "baselines"
	case has("schedule.safetensors"):
		return "psld"
	case has("index.json"):
		return "ops"
	case has("case.json"):
		return caseKind(dir)
	}
	return ""
}

// caseKind tells the folders with a case.json apart.
func caseKind(dir string) string {
	var c struct {
		WeightRule json.RawMessage `json:"weight_rule"`
		UNet       struct {
			ModelChannels int `json:"model_channels"`
		} `json:"unet_compvis_params"`
	}
	b, err := os.ReadFile(filepath.Join(dir, "case.json"))
	if err != nil || json.Unmarshal(b, &c) != nil {
		return ""
	}
	switch {
	case c.WeightRule != nil && c.UNet.ModelChannels >= fullSize:
		return "gen-full-sd15"
	case c.WeightRule != nil:
		return "gen-tiny-1244"
	case exists(filepath.Join(dir, "diffusers")), exists(filepath.Join(dir, "compvis")):
		return "tiny-sd"
	}
	return ""
}

// Folders lists the paths of all case folders of a kind, in name order. It may
// be empty.
func Folders(t testing.TB, kind string) []string {
	t.Helper()
	dir := Dir(t)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if st, err := os.Stat(path); err == nil && st.IsDir() && KindOf(path) == kind {
			out = append(out, path)
		}
	}
	return out
}

// Kind is the path of the case folder of a kind: the one of that very name, else
// the first. The test is skipped when there is none.
func Kind(t testing.TB, kind string) string {
	t.Helper()
	folders := Folders(t, kind)
	if len(folders) == 0 {
		t.Skipf("no golden cases of kind %q in %s", kind, Dir(t))
	}
	if i := slices.Index(folders, filepath.Join(Dir(t), kind)); i >= 0 {
		return folders[i]
	}
	return folders[0]
}
