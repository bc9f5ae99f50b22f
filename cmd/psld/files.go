package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"psld/internal/atomicfile"
)

// checkOutput tells, before any work, whether a file can be written at path: the extension is one
// of exts, the folder takes new files, and path is neither a folder nor one of the inputs.
func checkOutput(flag, path string, exts []string, inputs ...string) error {
	if ext := strings.ToLower(filepath.Ext(path)); !slices.Contains(exts, ext) {
		return fmt.Errorf("%s %s: the extension is %q, use %s", flag, path, ext, strings.Join(exts, ", "))
	}
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		return fmt.Errorf("%s %s is a folder, want a file name", flag, path)
	}
	for _, in := range inputs {
		if other, e := os.Stat(in); in != "" && err == nil && e == nil && os.SameFile(info, other) {
			return fmt.Errorf("%s %s would overwrite an input: choose another name", flag, path)
		}
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".psld-*")
	if err != nil {
		return fmt.Errorf("%s %s cannot be written: %w", flag, path, err)
	}
	_ = f.Close()
	return os.Remove(f.Name())
}

// checkNewFolder tells, before any work, whether a folder can be made at path: nothing is there, or a
// folder without files.
func checkNewFolder(flag, path string) error {
	there, err := os.ReadDir(path)
	switch {
	case err == nil && len(there) > 0:
		return fmt.Errorf("%s %s: the folder is not empty, want a new one", flag, path)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s %s is not a folder: %w", flag, path, err)
	}
	temp, err := os.MkdirTemp(filepath.Dir(filepath.Clean(path)), ".psld-*")
	if err != nil {
		return fmt.Errorf("%s %s cannot be written: %w", flag, path, err)
	}
	return os.Remove(temp)
}

var pictureFiles = []string{".png", ".jpg", ".jpeg"}

// writeFile writes data whole or not at all.
func writeFile(path string, data []byte) error {
	return atomicfile.Write(path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}
