package weights

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// repoID is "org/name" with an optional "@revision".
var repoID = regexp.MustCompile(`^([A-Za-z0-9][\w.-]*)/([A-Za-z0-9_][\w.-]*)(?:@([\w./-]+))?$`)

// FindModel gives the path of a model, for [OpenModel]. idOrPath is a file or
// folder, which wins where it exists, or the id of a Hugging Face repository,
// "org/name" or "org/name@revision" (a branch, "main" if left out, a tag or a
// commit), which is looked up in the cache on this machine: the folder
// $HF_HUB_CACHE, else $HF_HOME/hub, else $XDG_CACHE_HOME/huggingface/hub, else
// ~/.cache/huggingface/hub. In a repository a complete diffusers folder is
// preferred; then a single file: the only .safetensors with "emaonly" in its
// name, else the only .safetensors, else the only .ckpt.
//
// Nothing is ever downloaded: HF_HUB_OFFLINE may be set or not, there is
// nothing for it to forbid. Where a repository is not in the cache, the error
// says where it was looked for and which command fetches it.
func FindModel(idOrPath string) (path string, err error) {
	if _, err := os.Stat(idOrPath); err == nil {
		return idOrPath, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	id := repoID.FindStringSubmatch(idOrPath)
	if id == nil || strings.Contains(idOrPath, "..") {
		return "", fmt.Errorf("%s: no such file or folder (nor the id of a Hugging Face repository, org/name)", idOrPath)
	}
	repo, revision := id[1]+"/"+id[2], id[3]
	cache, err := hubCache()
	if err != nil {
		return "", err
	}
	folder := filepath.Join(cache, "models--"+id[1]+"--"+id[2])
	snapshot, err := findSnapshot(folder, revision)
	if err == nil {
		path, err = chooseModel(snapshot)
	}
	if err != nil {
		return "", fmt.Errorf("%s: no such file or folder here, and not usable from the Hugging Face cache: %w\n%s",
			idOrPath, err, howToFetch(repo, revision))
	}
	return path, nil
}

// hubCache is the folder in which Hugging Face's tools keep repositories.
func hubCache() (string, error) {
	for _, c := range []struct{ env, below string }{
		{"HF_HUB_CACHE", ""}, {"HF_HOME", "hub"}, {"XDG_CACHE_HOME", "huggingface/hub"},
	} {
		dir := os.Getenv(c.env)
		if dir == "" {
			continue
		}
		if rest, ok := strings.CutPrefix(dir, "~/"); ok {
			home, err := os.UserHomeDir()
			if err != nil {
				return "", err
			}
			dir = filepath.Join(home, rest)
		}
		return filepath.Join(dir, filepath.FromSlash(c.below)), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, ".cache", "huggingface", "hub"), nil
}

// findSnapshot gives the folder with the files of a repository at a revision:
// snapshots/COMMIT, where refs/REVISION names the commit.
func findSnapshot(folder, revision string) (string, error) {
	if revision == "" {
		revision = "main"
	}
	if !exists(folder) {
		return "", fmt.Errorf("no folder %s", folder)
	}
	commit := revision
	ref := filepath.Join(folder, "refs", filepath.FromSlash(revision))
	if b, err := os.ReadFile(ref); err == nil {
		commit = strings.TrimSpace(string(b))
	}
	snapshot := filepath.Join(folder, "snapshots", commit)
	if commit == "" || commit != filepath.Base(commit) || !filepath.IsLocal(commit) || !exists(snapshot) {
		return "", fmt.Errorf("%s has no revision %q (no file %s that names a folder of snapshots/, nor a snapshot of "+
			"that name)", folder, revision, ref)
	}
	return snapshot, nil
}

// chooseModel finds the model in the files of a repository.
func chooseModel(dir string) (string, error) {
	incomplete := completeFolder(dir)
	if incomplete == nil {
		return dir, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	var emaonly, safetensors, ckpt []string
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if !exists(path) { // a link to a blob that was not fetched
			continue
		}
		switch strings.ToLower(filepath.Ext(path)) {
		case ".safetensors":
			safetensors = append(safetensors, path)
			if strings.Contains(strings.ToLower(e.Name()), "emaonly") {
				emaonly = append(emaonly, path)
			}
		case ".ckpt":
			ckpt = append(ckpt, path)
		}
	}
	for _, files := range [][]string{emaonly, safetensors, ckpt} {
		if len(files) == 1 {
			return files[0], nil
		}
	}
	if files := append(safetensors, ckpt...); len(files) > 0 {
		return "", fmt.Errorf("several single files; give the path of one:\n  %s", strings.Join(files, "\n  "))
	}
	return "", fmt.Errorf("no complete model in it (%w)", incomplete)
}

// completeFolder says what a diffusers folder lacks, nil when all is there.
func completeFolder(dir string) error {
	m := Model{Path: dir}
	vae, err := m.findParts(Options{})
	if err != nil {
		return err
	}
	parts := [][2]string{{UNetPart, UNetPart}, {vae, VAEPart}}
	if vae == VAEPart {
		parts = append(parts, [2]string{TextPart, TextPart})
	}
	for _, p := range parts {
		folder := filepath.Join(dir, p[0])
		if config := filepath.Join(folder, "config.json"); !exists(config) {
			return fmt.Errorf("no %s", config)
		}
		path, err := findWeights(folder, p[1], "")
		if err != nil {
			return err
		}
		if !strings.HasSuffix(path, ".json") {
			continue
		}
		index, err := readIndex(path)
		if err != nil {
			return err
		}
		for _, file := range index {
			if !exists(filepath.Join(folder, file)) {
				return fmt.Errorf("no %s", filepath.Join(folder, file))
			}
		}
	}
	return nil
}

// howToFetch is the command line of Hugging Face's tool for a diffusers folder,
// without the other copies of the weights that a repository holds.
func howToFetch(repo, revision string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "This program downloads nothing. To fetch the model:\n  hf download %s", repo)
	if revision != "" {
		fmt.Fprintf(&b, " --revision %s", revision)
	}
	for _, pattern := range []string{"model_index.json", "*/config.json", "scheduler/*", "tokenizer/*",
		"unet/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors",
		"text_encoder/model.safetensors"} {
		fmt.Fprintf(&b, " --include %q", pattern)
	}
	fmt.Fprintf(&b, "\nor, for a repository of single files:\n  hf download %s FILE.safetensors", repo)
	return b.String()
}
