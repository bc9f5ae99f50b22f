package picture

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"psld/psld/operator"
)

// Files lists the paths of a folder's picture files (JPEG, PNG, WebP, TIFF, BMP, GIF) in the order of their names. A
// folder without any is an
// error.
func Files(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, e := range entries { // sorted by name
		switch strings.ToLower(filepath.Ext(e.Name())) {
		case ".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif":
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("%s has 0 pictures (.jpg, .png, .webp, .tif, .bmp, .gif), want at least 1", dir)
	}
	return paths, nil
}

// LoadSquares reads n pictures (all if n is 0) of a folder, spread evenly over its files in the order of their names,
// and scales the largest central square of each to size x size. Too few pictures, and any that cannot be read, are
// errors.
func LoadSquares(dir string, n, size int) ([]*Picture, error) {
	if n < 0 || size < MinSide {
		return nil, fmt.Errorf("%d pictures of %d pixels a side, want at least 0 of %d", n, size, MinSide)
	}
	paths, err := Files(dir)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		n = len(paths)
	}
	if len(paths) < n {
		return nil, fmt.Errorf("%s has %d pictures (.jpg, .png, .webp, .tif, .bmp, .gif), want at least %d", dir,
			len(paths), n)
	}
	var pics []*Picture
	for i := range n {
		p, err := Load(paths[i*len(paths)/n])
		if err != nil {
			return nil, err
		}
		side := min(p.W, p.H)
		if p, err = CropCentre(p, side, side); err != nil {
			return nil, err
		}
		if p, err = Resize(p, size, size, operator.CubicSmall); err != nil {
			return nil, err
		}
		pics = append(pics, p)
	}
	return pics, nil
}
