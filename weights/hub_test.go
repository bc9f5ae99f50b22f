package weights_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/weights"
)

// fakeHub makes a Hugging Face cache with one repository: files are links from
// the snapshot into blobs, as its tools lay them.
func fakeHub(t *testing.T, cache, org, name, commit string, refs []string, files map[string]string) string {
	t.Helper()
	repo := filepath.Join(cache, "models--"+org+"--"+name)
	put := func(path, text string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	for _, ref := range refs {
		put(filepath.Join(repo, "refs", filepath.FromSlash(ref)), commit)
	}
	snapshot := filepath.Join(repo, "snapshots", commit)
	require.NoError(t, os.MkdirAll(snapshot, 0o755))
	for file, text := range files {
		blob := filepath.Join(repo, "blobs", commit+strings.ReplaceAll(file, "/", "-"))
		if text != "missing" {
			put(blob, text)
		}
		link := filepath.Join(snapshot, filepath.FromSlash(file))
		require.NoError(t, os.MkdirAll(filepath.Dir(link), 0o755))
		if err := os.Symlink(blob, link); err != nil {
			t.Skip(err)
		}
	}
	return snapshot
}

var hubFolder = map[string]string{
	"model_index.json": "{}", "unet/config.json": "{}", "vae/config.json": "{}", "text_encoder/config.json": "{}",
	"unet/diffusion_pytorch_model.safetensors":      "x",
	"vae/diffusion_pytorch_model.fp16.safetensors":  "x",
	"text_encoder/pytorch_model.bin.index.json":     `{"weight_map":{"a":"pytorch_model-00001-of-00001.bin"}}`,
	"text_encoder/pytorch_model-00001-of-00001.bin": "x",
}

// without is a copy of the files, with some changed; "" takes one out.
func without(files map[string]string, changes ...string) map[string]string {
	out := map[string]string{}
	for name, text := range files {
		out[name] = text
	}
	for i := 0; i < len(changes); i += 2 {
		out[changes[i]] = changes[i+1]
		if changes[i+1] == "" {
			delete(out, changes[i])
		}
	}
	return out
}

func TestFindModel(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("HF_HUB_CACHE", cache)
	t.Setenv("HF_HUB_OFFLINE", "1") // nothing to forbid
	main := []string{"main"}
	folder := fakeHub(t, cache, "org", "folder", "c0ffee", []string{"main", "refs/pr/1"}, hubFolder)
	fakeHub(t, cache, "org", "both", "1", main, without(hubFolder, "v1-5-pruned-emaonly.safetensors", "x"))
	fakeHub(t, cache, "org", "one.file", "1", main, map[string]string{"my-model.safetensors": "x", "README.md": "x",
		"unet/config.json": "{}"})
	fakeHub(t, cache, "org", "v1-5", "1", main, map[string]string{
		"v1-5-pruned-emaonly.safetensors": "x", "v1-5-pruned.safetensors": "x", "v1-5-pruned.ckpt": "x",
		"v1-5-pruned-emaonly.ckpt": "x"})
	fakeHub(t, cache, "org", "ckpt", "1", main, map[string]string{"model.ckpt": "x"})
	fakeHub(t, cache, "org", "cut", "1", main, without(hubFolder, "unet/diffusion_pytorch_model.safetensors", "missing",
		"whole.safetensors", "x"))
	fakeHub(t, cache, "org", "several", "1", main, map[string]string{"a.safetensors": "x", "b.safetensors": "x"})
	fakeHub(t, cache, "org", "shard", "1", main, without(hubFolder, "text_encoder/pytorch_model-00001-of-00001.bin", ""))
	fakeHub(t, cache, "org", "noref", "2", nil, hubFolder)
	fakeHub(t, cache, "org", "evil", "../../x", main, nil)

	snapshot := func(name, file string) string {
		return filepath.Join(cache, "models--org--"+name, "snapshots", "1", file)
	}
	for id, want := range map[string]string{
		cache:                  cache, // a path wins
		"org/folder":           folder,
		"org/folder@main":      folder,
		"org/folder@refs/pr/1": folder,
		"org/folder@c0ffee":    folder,
		"org/both":             snapshot("both", ""),
		"org/one.file":         snapshot("one.file", "my-model.safetensors"),
		"org/v1-5":             snapshot("v1-5", "v1-5-pruned-emaonly.safetensors"),
		"org/ckpt":             snapshot("ckpt", "model.ckpt"),
		"org/cut":              snapshot("cut", "whole.safetensors"),
	} {
		got, err := weights.FindModel(id)
		require.NoError(t, err, id)
		require.Equal(t, filepath.Clean(want), got, id)
	}
	for id, want := range map[string][]string{
		"org/nothing": {filepath.Join(cache, "models--org--nothing"), "hf download org/nothing --include",
			"unet/diffusion_pytorch_model.safetensors", "downloads nothing"},
		"org/folder@v9": {`no revision "v9"`, "hf download org/folder --revision v9"},
		"org/noref":     {`no revision "main"`},
		"org/evil":      {`no revision "main"`},
		"org/several": {"several single files", snapshot("several", "a.safetensors"),
			snapshot("several", "b.safetensors")},
		"org/shard":             {"no complete model", "pytorch_model-00001-of-00001.bin"},
		"no-such-file.ckpt":     {"no-such-file.ckpt: no such file or folder"},
		"../x/y":                {"no such file or folder"},
		"org/folder@../../main": {"no such file or folder"},
		"a/b/c":                 {"no such file or folder"},
		"":                      {"no such file or folder"},
	} {
		_, err := weights.FindModel(id)
		for _, w := range want {
			require.ErrorContains(t, err, w, id)
		}
	}
}

// The cache's folder is found as Hugging Face's tools find it.
func TestFindModelFolders(t *testing.T) {
	top := t.TempDir()
	want := map[string]string{}
	for _, cache := range []string{"hub-cache", "hf-home/hub", "xdg/huggingface/hub", "home/.cache/huggingface/hub",
		"home/my/hub"} {
		want[cache] = fakeHub(t, filepath.Join(top, filepath.FromSlash(cache)), "org", "name", "1",
			[]string{"main"}, hubFolder)
	}
	for _, env := range []string{"HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"} {
		t.Setenv(env, "")
	}
	t.Setenv("HOME", filepath.Join(top, "home"))
	t.Setenv("USERPROFILE", filepath.Join(top, "home"))
	for _, step := range []struct{ env, value, want string }{
		{"HOME", filepath.Join(top, "home"), "home/.cache/huggingface/hub"},
		{"XDG_CACHE_HOME", filepath.Join(top, "xdg"), "xdg/huggingface/hub"},
		{"HF_HOME", "~/my", "home/my/hub"},
		{"HF_HOME", filepath.Join(top, "hf-home"), "hf-home/hub"},
		{"HF_HUB_CACHE", filepath.Join(top, "hub-cache"), "hub-cache"},
	} {
		t.Setenv(step.env, step.value)
		got, err := weights.FindModel("org/name")
		require.NoError(t, err)
		require.Equal(t, want[step.want], got)
	}
}
