// Package atomicfile writes files that appear whole or not at all.
package atomicfile

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Write has encode write a temporary file beside path, brings it to the disk, renames it to path and brings the folder
// to the disk. On any error path is as it was and nothing is left behind. A symbolic link is followed; a file that was
// there keeps its mode, a new one has that of the umask. What is no regular file (a fifo, a device) is written as it
// comes. Temporary files that killed runs left of the same path are removed.
func Write(path string, encode func(io.Writer) error) (err error) {
	path, err = Target(path)
	if err != nil {
		return err
	}
	old, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case !old.Mode().IsRegular():
		return stream(path, encode)
	}
	Clean(path)
	f, err := temporary(path)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // while it is locked: nobody else takes it for a leftover
			_ = f.Close()           // closed already on the late errors
		}
	}()
	if err := buffered(f, encode); err != nil {
		return err
	}
	if old != nil {
		if err := f.Chmod(old.Mode().Perm()); err != nil {
			return err
		}
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if renameOpen { // the lock holds until the file has its name
		if err := os.Rename(f.Name(), path); err != nil {
			return err
		}
		return errors.Join(f.Close(), SyncDir(filepath.Dir(path)))
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func buffered(f *os.File, encode func(io.Writer) error) error {
	w := bufio.NewWriterSize(f, 1<<20)
	if err := encode(w); err != nil {
		return err
	}
	return w.Flush()
}

// stream writes to what is there.
func stream(path string, encode func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(buffered(f, encode), f.Close())
}

// Target is the path that symbolic links at path lead to, whether something is there or not.
func Target(path string) (string, error) {
	const most = 40 // as Linux
	for at, i := path, 0; i < most; i++ {
		to, err := os.Readlink(at)
		if err != nil { // no link
			return at, nil
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(at), to)
		}
		at = to
	}
	return "", fmt.Errorf("%s: more than %d symbolic links", path, most)
}

// prefix begins the names of the temporary files of path: short, whatever the length of its own name.
func prefix(path string) string {
	sum := sha256.Sum256([]byte(filepath.Base(path)))
	return ".psld-" + hex.EncodeToString(sum[:6]) + "-"
}

// suffix ends them.
const suffix = ".tmp"

// folder ends the name of a folder whose lock is the file of the same name without it.
const folder = ".d"

// WriteDir has fill write the files of a temporary folder beside path and renames it to path, where nothing may be, or
// an empty folder. On any error path is as it was and nothing is left behind.
func WriteDir(path string, fill func(dir string) error) (err error) {
	path = filepath.Clean(path)
	Clean(path)
	f, err := temporary(path)
	if err != nil {
		return err
	}
	temp := f.Name() + folder
	defer func() {
		_ = os.RemoveAll(temp)
		err = errors.Join(err, f.Close(), os.Remove(f.Name()))
	}()
	if err := os.Mkdir(temp, 0o777); err != nil {
		return err
	}
	if err := fill(temp); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// temporary makes a locked temporary file for path, of the mode that the umask gives.
func temporary(path string) (*os.File, error) {
	dir, begin := filepath.Dir(path), prefix(path)
	for i := 0; ; i++ {
		name := filepath.Join(dir, fmt.Sprintf("%s%d-%d%s", begin, os.Getpid(), i, suffix))
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
		if errors.Is(err, fs.ErrExist) && i < 1<<16 {
			continue
		}
		if err != nil {
			return nil, err
		}
		// Between the two lines another run may have taken it for a leftover: then the name is gone.
		if Lock(f) && isAt(f, name) {
			return f, nil
		}
		_ = f.Close()
	}
}

func isAt(f *os.File, name string) bool {
	a, err1 := f.Stat()
	b, err2 := os.Stat(name)
	return err1 == nil && err2 == nil && os.SameFile(a, b)
}

// Clean removes the temporary files that killed runs left beside path: those of its own names that no running program
// has locked.
func Clean(path string) {
	path, err := Target(path)
	if err != nil {
		return
	}
	dir, begin, older := filepath.Dir(path), prefix(path), "."+filepath.Base(path)+"."
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		name := e.Name()
		rest, old := strings.CutPrefix(strings.TrimSuffix(name, suffix), older) // .x.png.123.tmp of earlier versions
		old = old && rest != "" && strings.Trim(rest, "0123456789") == ""
		if e.Type().IsRegular() && strings.HasSuffix(name, suffix) && (strings.HasPrefix(name, begin) || old) {
			removeUnlocked(filepath.Join(dir, name))
		}
	}
}

func removeUnlocked(name string) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return
	}
	if Lock(f) {
		_ = os.RemoveAll(name + folder)
		if !renameOpen {
			_ = f.Close()
		}
		_ = os.Remove(name)
	}
	_ = f.Close()
}

// Check tells whether Write can write at path, by making and removing a temporary file, and removes what killed runs
// left there. Errors name the folder where that is the reason.
func Check(path string) error {
	path, err := Target(path)
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	switch info, err := os.Stat(dir); {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no folder %s", dir)
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is no folder", dir)
	}
	switch info, err := os.Stat(path); {
	case err == nil && info.IsDir():
		return errors.New("it is a folder")
	case err == nil && !info.Mode().IsRegular():
		return nil // a fifo or a device: opening it might wait
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return plain(err) // a name that is too long
	}
	Clean(path)
	f, err := temporary(path)
	if err != nil {
		return fmt.Errorf("the folder %s takes no files: %w", dir, plain(err))
	}
	err = f.Close() // where open files cannot be removed, in front of it; another program may be quicker then
	if e := os.Remove(f.Name()); !errors.Is(e, fs.ErrNotExist) {
		err = errors.Join(err, e)
	}
	return err
}

// plain is err without the name of a file.
func plain(err error) error {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return p.Err
	}
	return err
}

// LockFile makes the file at path and holds it until it is closed, or until the process ends, however that is. A file
// that another process holds is an error. Systems without locks let everybody have it.
func LockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if !Lock(f) {
		return nil, errors.Join(fmt.Errorf("%s is in use by another process", path), f.Close())
	}
	return f, nil
}
