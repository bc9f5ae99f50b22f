package main

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/operator"
	"psld/psld/picture"
	"psld/weights"
)

// errorFiles is a folder with pictures, good and bad ones, and a model beside it.
type errorFiles struct {
	dir, model string
}

func newErrorFiles(t *testing.T) errorFiles {
	t.Helper()
	f := errorFiles{t.TempDir(), writeModel(t, nil)}
	put := func(name string, data []byte) { require.NoError(t, os.WriteFile(f.at(name), data, 0o644)) }
	writePicture(t, f.at("y.png"), 20, 16)
	writePicture(t, f.at("small.png"), 16, 16)
	whole, err := os.ReadFile(f.at("y.png"))
	require.NoError(t, err)
	put("cut.png", whole[:len(whole)/2])
	put("one.png", pngHeader(1, 1))
	put("huge.png", pngHeader(8000, 8000))
	put("text.png", []byte("no picture at all"))
	put("file", nil)
	black := picture.New(20, 16)
	require.NoError(t, picture.Save(f.at("black.png"), black))
	k, err := operator.Gaussian(61, 12)
	require.NoError(t, err)
	require.NoError(t, operator.SaveKernel(f.at("wide.png"), k))
	return f
}

// at is the path of a file in the folder.
func (f errorFiles) at(name string) string { return filepath.Join(f.dir, name) }

// task gives the arguments of a restoration of y.png, unless extra names another picture, to out.png, with more behind
// them.
func (f errorFiles) task(name string, extra ...string) []string {
	args := []string{"restore", "--task", name, "--out", f.at("out.png"), "--model", f.model, "--steps", "1"}
	if !slices.Contains(extra, "--in") {
		args = append(args, "--in", f.at("y.png"))
	}
	return append(args, extra...)
}

func (f errorFiles) denoise(extra ...string) []string { return f.task("denoise", extra...) }

// tv denoises without a model.
func (f errorFiles) tv(extra ...string) []string {
	return append([]string{"restore", "--task", "denoise", "--in", f.at("y.png"), "--out", f.at("tv.png"), "--method",
		"tv"}, extra...)
}

// errorCase is a command, and a text in the error that it ends with.
type errorCase struct {
	args []string
	want string
}

// check runs the cases: each says one line, and leaves no file behind.
func (f errorFiles) check(t *testing.T, cases map[string]errorCase) {
	t.Helper()
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := start(t, c.args...)
			require.Equal(t, 1, code, stderr)
			require.Empty(t, stdout)
			before, message := splitError(t, stderr)
			require.Contains(t, message, c.want)
			if name != "bench nothing" { // it says first what they are about to do
				require.Empty(t, before)
			}
			if !strings.Contains(message, "tensors ") { // else it lists them all
				require.Equal(t, 1, strings.Count(message, "\n"), message)
			}
		})
	}
	for _, pattern := range []string{"out.png", "x.*", ".psld-*", "run", "k.png"} {
		left, err := filepath.Glob(f.at(pattern))
		require.NoError(t, err)
		require.Empty(t, left, "files left behind")
	}
}

func TestErrorsOfFlags(t *testing.T) {
	f := newErrorFiles(t)
	f.check(t, map[string]errorCase{
		"unknown command": {[]string{"retsore"}, `unknown command "retsore"; did you mean "restore"?`},
		"unknown flag":    {f.denoise("--gama", "1"), `unknown flag --gama; did you mean "--gamma"?`},
		"no value":        {append(f.denoise(), "--seed"), "no value after --seed"},
		"no number":       {f.denoise("--steps", "many"), `invalid value "many" for --steps`},
		"stray argument":  {f.denoise("extra"), `unexpected argument "extra"`},
		"help of what":    {[]string{"help", "me"}, `unknown command "me"`},
		"no task":         {[]string{"restore", "--in", f.at("y.png")}, "--task is missing"},
		"unknown task":    {f.denoise("--task", "sharpen"), `unknown task "sharpen"`},
		"unknown method":  {f.denoise("--method", "magic"), `unknown method "magic"`},
		"misspelt task":   {f.denoise("--task", "denosie"), `did you mean "denoise"?`},
		"misspelt method": {f.denoise("--method", "plsd"), `did you mean "psld"?`},
		"unknown back":    {f.denoise("--back", "front"), `--back "front"`},
		"NaN gamma":       {f.denoise("--gamma", "NaN"), "--gamma NaN"},
		"infinite omega":  {f.denoise("--omega", "Inf"), "--omega +Inf"},
		"negative omega":  {f.denoise("--omega", "-1"), "--omega -1"},
		"eta over 1":      {f.denoise("--eta", "2"), "--eta 2, want 0 to 1"},
		"no steps":        {f.denoise("--steps", "0"), "--steps 0, want 1 to 1000"},
		"many steps":      {f.denoise("--steps", "1001"), "--steps 1001"},
		"negative seed":   {f.denoise("--seed", "-2"), "--seed -2"},
		"threads":         {f.denoise("--threads", "-1"), "--threads -1"},
		"many fits": {f.denoise("--method", "dpm", "--fits", "3"),
			"method dpm: fits 3 is more than steps 1"},
		"latents do not turn": {f.denoise("--method", "diffpir", "--orientations", "2"),
			"method diffpir: orientations 2 needs a pixel model"},
		"noise that rises": {f.denoise("--method", "latentdaps", "--from", "0.1", "--to", "0.2"),
			"method latentdaps: from 0.1 is not more than to 0.2"},
		"penalty of tv": {f.tv("--rho", "1e-30"), "method tv: rho 1e-30: want 0, or "},
	})
}

func TestErrorsOfFiles(t *testing.T) {
	f := newErrorFiles(t)
	f.check(t, map[string]errorCase{
		"missing file":        {f.denoise("--in", f.at("none.png")), "none.png"},
		"input is a folder":   {f.denoise("--in", f.dir), f.dir},
		"truncated picture":   {f.denoise("--in", f.at("cut.png")), "truncated"},
		"1x1":                 {f.denoise("--in", f.at("one.png")), "1x1"},
		"64 megapixels":       {f.denoise("--in", f.at("huge.png")), "at most 60 megapixels"},
		"no picture":          {f.denoise("--in", f.at("text.png")), "not a PNG"},
		"no time":             {f.denoise("--max-time", "1ns"), "it would take about"},
		"model of tv":         {f.tv("--model", "sd15"), "no meaning for method tv"},
		"precision of tv":     {f.tv("--dtype", "bf16"), "needs no model"},
		"wrong mask size":     {f.task("inpaint", "--mask", f.at("small.png")), "mask is 16x16, the picture is 20x16"},
		"missing mask":        {f.task("inpaint", "--mask", f.at("none.png")), "none.png"},
		"inpaint what":        {f.task("inpaint"), "--mask"},
		"random without hole": {f.task("inpaint-random"), "--mask"},
		"nothing known":       {f.task("inpaint-random", "--in", f.at("black.png")), "320 of 320 pixels"},
		"empty mask":          {f.task("inpaint", "--mask", f.at("black.png")), "0 of 320 pixels"},
		"quality of none": {[]string{"restore", "--task", "denoise", "--in", f.at("y.png"), "--out", f.at("x.png"),
			"--method", "tv", "--quality", "best"}, "--quality has no meaning for method tv"},
		"mask without use":    {f.denoise("--mask", f.at("y.png")), "--mask has no meaning"},
		"kernel without use":  {f.denoise("--kernel", f.at("y.png")), "--kernel has no meaning"},
		"invert what":         {f.task("inpaint", "--invert-mask"), "--invert-mask needs --mask"},
		"no motion kernel":    {f.task("deblur-motion"), "needs --kernel"},
		"kernel not square":   {f.task("deblur-motion", "--kernel", f.at("y.png")), "y.png"},
		"kernel too wide":     {f.task("deblur-gaussian", "--kernel", f.at("wide.png")), "kernel"},
		"output folder":       {f.denoise("--out", f.at("none/x.png")), "cannot be written"},
		"output below a file": {f.denoise("--out", f.at("file/x.png")), "cannot be written"},
		"output is a folder":  {f.denoise("--out", f.dir), "extension"},
		"output format":       {f.denoise("--out", f.at("x.gif")), `extension is ".gif"`},
		"output is input":     {f.denoise("--out", f.at("y.png")), "overwrite an input"},
		"sheet is output":     {f.denoise("--sheet", f.at("out.png")), "same file"},
		"curves are output":   {f.denoise("--curves", f.at("out.png")), "same file"},
		"curves as JPEG":      {f.denoise("--curves", f.at("c.jpg")), `extension is ".jpg"`},
	})
}

func TestErrorsOfModels(t *testing.T) {
	f := newErrorFiles(t)
	bad := func(name string, vae, unet []byte) string {
		d := f.at(name)
		require.NoError(t, os.Mkdir(d, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(d, "vae.safetensors"), vae, 0o644))
		require.NoError(t, os.WriteFile(filepath.Join(d, "unet.safetensors"), unet, 0o644))
		return d
	}
	vae, err := os.ReadFile(filepath.Join(f.model, "vae.safetensors"))
	require.NoError(t, err)
	unet, err := os.ReadFile(filepath.Join(f.model, "unet.safetensors"))
	require.NoError(t, err)
	truncated := bad("truncated", vae, unet[:len(unet)-100])
	garbage := bad("garbage", vae, bytes.Repeat([]byte("garbage "), 64))
	header := bad("header", vae, append(binary.LittleEndian.AppendUint64(nil, 1<<60), unet[8:]...))
	swapped := bad("swapped", unet, vae)
	nan := writeModel(t, func(e []weights.Entry) { e[3].Data[0] = float32(math.NaN()) })
	shape := writeModel(t, func(e []weights.Entry) {
		e[0].Shape = []int{1, len(e[0].Data)}
	})
	f.check(t, map[string]errorCase{
		"no model":        {f.denoise("--model", f.at("nomodel")), "nomodel"},
		"truncated model": {f.denoise("--model", truncated), "truncated"},
		"garbage model":   {f.denoise("--model", garbage), "garbage"},
		"huge header":     {f.denoise("--model", header), "header"},
		"models swapped":  {f.denoise("--model", swapped), "swapped"},
		"NaN weights":     {f.denoise("--model", nan), "NaN"},
		"wrong shape":     {f.denoise("--model", shape), "shape"},
	})
}

func TestErrorsOfVerbs(t *testing.T) {
	f := newErrorFiles(t)
	f.check(t, map[string]errorCase{
		"demo size":   {[]string{"--size", "64"}, "--size 64"},
		"demo output": {[]string{"--out", f.at("file"), "--model", f.model}, "--out"},
		"degrade inpaint": {[]string{"degrade", "--task", "inpaint", "--in", f.at("y.png"), "--out", f.at("out.png")},
			"needs --mask"},
		"degrade too small": {[]string{"degrade", "--task", "sr4", "--in", f.at("y.png"), "--out", f.at("out.png")}, "5x4"},
		"degrade sigma": {[]string{"degrade", "--task", "sr4", "--in", f.at("y.png"), "--out", f.at("out.png"),
			"--sigma", "NaN"}, `"NaN" for --sigma: want 0 to 2 on [-1,1]`},
		"sigma of bytes": {f.denoise("--sigma", "25"), `want 0 to 2 on [-1,1], or 25/255`},
		"degrade missing": {[]string{"degrade", "--task", "inpaint-random", "--in", f.at("y.png"), "--out", f.at("out.png"),
			"--missing", "1.5"}, "1.5"},
		"degrade same name": {[]string{"degrade", "--task", "inpaint-random", "--in", f.at("y.png"), "--out",
			f.at("out.png"),
			"--mask-out", f.at("out.png")}, "same name"},
		"degrade kernel": {[]string{"degrade", "--task", "sr4", "--in", f.at("y.png"), "--out", f.at("out.png"),
			"--kernel-out", f.at("k.png")}, "no meaning"},
		"eval without data": {[]string{"eval"}, "--data is missing"},
		"eval no folder":    {[]string{"eval", "--data", f.at("y.png")}, "y.png is no folder"},
		"eval twice":        {[]string{"eval", "--data", f.dir, "--methods", "tv,psld,tv"}, "--methods names tv twice"},
		"degrade all": {[]string{"degrade", "--task", "inpaint-box", "--box", "1", "--in", f.at("y.png"), "--out",
			f.at("x.png")}, "pixels would be missing"},
		"eval method":    {[]string{"eval", "--data", f.dir, "--methods", "magic"}, `unknown method "magic"`},
		"eval inpaint":   {[]string{"eval", "--data", f.dir, "--tasks", "inpaint"}, "inpaint-random"},
		"train what":     {[]string{"train"}, "train what?"},
		"train misspelt": {[]string{"train", "pixle"}, `did you mean "pixel"?`},
		"train no photos": {[]string{"train", "vae", "--data", f.at("none"), "--val", f.dir, "--out", f.at("run")},
			"--data: stat "},
		"train no val": {[]string{"train", "vae", "--data", f.dir, "--val", f.at("y.png"), "--out", f.at("run")},
			"y.png is no folder"},
		"train groups": {[]string{"train", "vae", "--data", f.dir, "--val", f.dir, "--out", f.at("run"),
			"--channels", "30"}, "--channels 30 is no multiple of --groups 8"},
		"train layers": {[]string{"train", "pixel", "--data", f.dir, "--val", f.dir, "--out", f.at("run"),
			"--layers", "0"}, "--layers is 0"},
		"train rate": {[]string{"train", "vae", "--data", f.dir, "--val", f.dir, "--out", f.at("run"), "--lr", "nan"},
			"--lr NaN, want more than 0 to 1"},
		"help of what": {[]string{"help", "train", "magic"}, `unexpected argument "magic"`},
		"train unet no vae": {[]string{"train", "unet", "--data", f.dir, "--val", f.dir, "--out", f.at("run")},
			"--vae is missing"},
		"train heads for vae": {[]string{"train", "vae", "--heads", "2", "--data", f.dir, "--val", f.dir,
			"--out", f.at("run")}, "no meaning"},
		"bench what":    {[]string{"bench"}, "bench what?"},
		"bench nothing": {[]string{"bench", "kernels", "--filter", "^none$"}, "matches no operation"},
		"bench filter":  {[]string{"bench", "kernels", "--filter", "("}, "--filter"},
	})
}
