package picture

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"psld/psld/operator"
	"psld/tensor/cpu"
)

// kinds are the extensions of picture files, in lower case.
var kinds = map[string]bool{".jpg": true, ".jpeg": true, ".png": true, ".webp": true, ".tif": true, ".tiff": true,
	".bmp": true, ".gif": true}

// HasName tells whether a path ends as those of picture files do.
func HasName(path string) bool { return kinds[strings.ToLower(filepath.Ext(path))] }

// Files lists the paths of the picture files (JPEG, PNG, WebP, TIFF, BMP, GIF) of a folder and of those inside it, in
// the order of their names. Names that begin with a dot are left out, and folders behind links. A folder without any
// picture is an error.
func Files(dir string) ([]string, error) {
	if dir == "" {
		return nil, errors.New("no folder is named")
	}
	root, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	var paths []string
	err = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		hidden := path != root && strings.HasPrefix(e.Name(), ".")
		switch {
		case hidden && e.IsDir():
			return fs.SkipDir
		case path == root && !e.IsDir():
			return fmt.Errorf("%s is no folder", dir)
		case !hidden && !e.IsDir() && HasName(path):
			inside, err := filepath.Rel(root, path)
			paths = append(paths, filepath.Join(dir, inside))
			return err
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("%s has 0 pictures (.jpg, .png, .webp, .tif, .bmp, .gif), want at least 1", dir)
	}
	return paths, nil
}

// Squares are pictures of a folder, which are read when they are asked for: of each the largest central square, scaled
// to Size pixels a side.
type Squares struct {
	Size   int
	Digest string // tells the files' contents from others
	Left   []error
	paths  []string
}

// OpenSquares takes n pictures (all if n is 0, or if there are fewer) of a folder, spread evenly over its files in the
// order of their names. One that cannot be read is left out, and the next one that is free takes its place; Left says
// why. None at all is an error.
func OpenSquares(dir string, n, size int) (*Squares, error) {
	if n < 0 || size < MinSide {
		return nil, fmt.Errorf("%d pictures of %d pixels a side, want at least 0 of %d", n, size, MinSide)
	}
	paths, err := Files(dir)
	if err != nil {
		return nil, err
	}
	if n == 0 || n > len(paths) {
		n = len(paths)
	}
	sums, errs := make([][sha256.Size]byte, len(paths)), make([]error, len(paths))
	var wg sync.WaitGroup
	slots := make(chan struct{}, cpu.Threads()) // each holds a picture
	tried := make([]bool, len(paths))
	for k := range n {
		i := k * len(paths) / n
		tried[i] = true
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			sums[i], errs[i] = tryPicture(paths[i])
		})
	}
	wg.Wait()
	for k := range n {
		for i := k * len(paths) / n; errs[i] != nil; { // the next one in place of it, around the end
			if i = nextFree(tried, i); i < 0 {
				break
			}
			tried[i] = true
			sums[i], errs[i] = tryPicture(paths[i])
		}
	}
	s := &Squares{Size: size}
	h := sha256.New()
	for i, taken := range tried {
		switch {
		case !taken:
		case errs[i] != nil:
			s.Left = append(s.Left, errs[i])
		default:
			h.Write(sums[i][:])
			s.paths = append(s.paths, paths[i])
		}
	}
	if len(s.paths) == 0 {
		return nil, fmt.Errorf("no picture of %s can be read: %w", dir, s.Left[0])
	}
	s.Digest = hex.EncodeToString(h.Sum(nil)[:8])
	return s, nil
}

// nextFree is the first place behind i, around the end, that is not taken; -1 for none.
func nextFree(taken []bool, i int) int {
	for k := 1; k < len(taken); k++ {
		if at := (i + k) % len(taken); !taken[at] {
			return at
		}
	}
	return -1
}

// tryPicture tells whether the file is a picture, and the checksum of what it holds.
func tryPicture(path string) (sum [sha256.Size]byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return sum, fmt.Errorf("picture: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := Decode(io.TeeReader(f, h)); err != nil {
		return sum, fmt.Errorf("picture: %s: %w", path, err)
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

// Len is the number of pictures.
func (s *Squares) Len() int { return len(s.paths) }

// At reads picture i, from 0. One that cannot be read any more is an error.
func (s *Squares) At(i int) (*Picture, error) {
	p, err := Load(s.paths[i])
	if err != nil {
		return nil, err
	}
	side := min(p.W, p.H)
	if p, err = CropCentre(p, side, side); err != nil {
		return nil, err
	}
	return Resize(p, s.Size, s.Size, operator.CubicSmall)
}

// LoadSquares reads all pictures of OpenSquares; left says which are left out.
func LoadSquares(dir string, n, size int) (pics []*Picture, left []error, err error) {
	s, err := OpenSquares(dir, n, size)
	if err != nil {
		return nil, nil, err
	}
	for i := range s.Len() {
		p, err := s.At(i)
		if err != nil {
			return nil, nil, err
		}
		pics = append(pics, p)
	}
	return pics, s.Left, nil
}
