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
	"psld/internal/memstat"
	"psld/psld/picture"
)

// std is the name of standard input and standard output.
const std = "-"

// stdin is what --in - reads.
var stdin io.Reader = os.Stdin

// checkOutput tells, before any work, whether a file can be written at path: the extension is one
// of exts, the folder takes new files, and path is neither a folder nor one of the inputs. A picture may go to
// standard output, and to a fifo or device of any name.
func checkOutput(flag, path string, exts []string, inputs ...string) error {
	info, err := os.Stat(path)
	special := err == nil && !info.Mode().IsRegular() && !info.IsDir()
	pictures := slices.Contains(exts, ".png")
	switch {
	case pictures && path == std && isClosed(os.Stdout):
		return fmt.Errorf("%s %s: standard output is closed, or the null device: name a file", flag, path)
	case pictures && path == std:
		return nil
	}
	if ext := strings.ToLower(filepath.Ext(path)); !slices.Contains(exts, ext) && !(pictures && special) {
		return fmt.Errorf("%s %s: the extension is %q, use %s", flag, path, ext, strings.Join(exts, ", "))
	}
	if err == nil && info.IsDir() {
		return fmt.Errorf("%s %s is a folder, want a file name", flag, path)
	}
	for _, in := range inputs {
		if other, e := os.Stat(in); in != "" && err == nil && e == nil && os.SameFile(info, other) {
			return fmt.Errorf("%s %s would overwrite an input: choose another name", flag, path)
		}
	}
	if err := atomicfile.Check(path); err != nil {
		return fmt.Errorf("%s %s cannot be written: %w", flag, path, err)
	}
	return nil
}

// isSpecial tells what has no file beside it: standard output, a fifo, a device.
func isSpecial(path string) bool {
	info, err := os.Stat(path)
	return path == std || err == nil && !info.Mode().IsRegular()
}

// freeSpace is how much room a folder has; tests set it.
var freeSpace = atomicfile.Free

// errDisk is in errors of a disk with too little room.
var errDisk = errors.New("the disk")

// checkSpace refuses work whose result would not fit: need bytes at the folder of path, where its file system tells.
func checkSpace(flag, path string, need int64) error {
	if isSpecial(path) {
		return nil
	}
	target, err := atomicfile.Target(path)
	if err != nil {
		return err
	}
	if free, ok := freeSpace(filepath.Dir(target)); ok && free < need {
		return fmt.Errorf("%s %s: %w has %s left, up to %s are needed", flag, path, errDisk, memstat.Words(free),
			memstat.Words(need))
	}
	return nil
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
	if err := atomicfile.Check(filepath.Clean(path) + ".x"); err != nil {
		return fmt.Errorf("%s %s cannot be written: %w", flag, path, err)
	}
	return nil
}

// checkOutputFolder tells, before any work, whether files can be written to a folder at path, "" for none, and makes
// it where only its last part is missing. It may not be the folder of the inputs or inside it.
func checkOutputFolder(flag, path, inputs string) error {
	if path == "" {
		return nil
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && !info.IsDir():
		return fmt.Errorf("%s %s is a file, want a folder, since --in is one", flag, path)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: %w", flag, err)
	}
	there := path // as far as it exists
	if err != nil {
		there = filepath.Dir(filepath.Clean(path))
	}
	if _, err := os.Stat(there); err != nil {
		return fmt.Errorf("%s %s cannot be made: there is no folder %s", flag, path, there)
	}
	if isInside(there, inputs) {
		return fmt.Errorf("%s %s lies in the folder of the inputs: choose another one", flag, path)
	}
	if err := atomicfile.Check(filepath.Join(there, "x.png")); err != nil {
		return fmt.Errorf("%s %s cannot be written: %w", flag, path, err)
	}
	if there == path {
		return nil
	}
	return os.Mkdir(path, 0o777)
}

// isInside tells whether a folder is another one or lies in it.
func isInside(path, other string) bool {
	for _, p := range []*string{&path, &other} {
		if real, err := filepath.EvalSymlinks(*p); err == nil {
			*p = real
		}
		if whole, err := filepath.Abs(*p); err == nil {
			*p = whole
		}
	}
	inside, err := filepath.Rel(other, path)
	return err == nil && filepath.IsLocal(inside)
}

var pictureFiles = []string{".png", ".jpg", ".jpeg"}

// writeFile writes data whole or not at all.
func writeFile(path string, data []byte) error {
	return atomicfile.Write(path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// loadPicture reads the picture of a file or of standard input, and says what of it was not read.
func (c *console) loadPicture(path string) (p *picture.Picture, err error) {
	if path != std {
		p, err = picture.Load(path)
	} else if p, err = picture.Decode(stdin); err != nil {
		err = fmt.Errorf("picture: standard input: %w", err)
	}
	if err != nil {
		return nil, err
	}
	if p.Note != "" {
		c.say("note      %s: %s", path, p.Note)
	}
	return p, nil
}

// leftOut warns of files that cannot be used.
func (c *console) leftOut(why []error) {
	const most = 5
	for i, err := range why {
		if i == most && !c.verbose {
			c.say("warning   %d more files are left out", len(why)-most)
			return
		}
		c.say("warning   left out: %s", message(err))
	}
}

// to is the console of a verb whose result goes to path: where that is standard output, words go to the log.
func (c *console) to(path string) *console {
	if path != std {
		return c
	}
	return &console{out: c.log, log: c.log, data: c.out, quiet: c.quiet, verbose: c.verbose}
}

// savePicture writes the result of the work. Where it cannot be written at path after all, it is kept in a new
// temporary folder, and the error says so.
func (c *console) savePicture(path string, p *picture.Picture, texts ...picture.Text) error {
	encode := func(w io.Writer) error { return picture.EncodePNG(w, p, texts...) }
	switch ext := strings.ToLower(filepath.Ext(path)); {
	case path == std:
		return encode(c.data)
	case isSpecial(path) && !slices.Contains(pictureFiles, ext):
		return atomicfile.Write(path, encode)
	}
	err := picture.Save(path, p, texts...)
	if err == nil {
		return nil
	}
	dir, e := os.MkdirTemp("", "psld-kept-")
	if e != nil {
		return err
	}
	kept := filepath.Join(dir, "result.png")
	if e := picture.Save(kept, p, texts...); e != nil {
		_ = os.RemoveAll(dir)
		return err
	}
	return fmt.Errorf("%w; the result was kept as %s", err, kept)
}
