package psld

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"psld/psld/operator"
	"psld/psld/picture"
)

// LoadSquares reads n pictures (all if n is 0) of a folder, spread evenly over its JPEG, PNG and WebP files
// in the order of their names, and scales the largest central square of each to
// size x size. Too few pictures, and any that cannot be read, are errors.
func LoadSquares(dir string, n, size int) ([]*picture.Picture, error) {
	if n < 0 || size < picture.MinSide {
		return nil, fmt.Errorf("%d pictures of %d pixels a side, want at least 0 of %d", n, size, picture.MinSide)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries { // sorted by name
		switch strings.ToLower(filepath.Ext(e.Name())) {
		case ".jpg", ".jpeg", ".png", ".webp":
			names = append(names, filepath.Join(dir, e.Name()))
		}
	}
	if n == 0 {
		n = len(names)
	}
	if len(names) < n || n == 0 {
		return nil, fmt.Errorf("%s has %d pictures (.jpg, .png, .webp), want at least %d", dir, len(names), max(n, 1))
	}
	var pics []*picture.Picture
	for i := range n {
		p, err := picture.Load(names[i*len(names)/n])
		if err != nil {
			return nil, err
		}
		side := min(p.W, p.H)
		if p, err = picture.CropCentre(p, side, side); err != nil {
			return nil, err
		}
		if p, err = picture.Resize(p, size, size, operator.CubicSmall); err != nil {
			return nil, err
		}
		pics = append(pics, p)
	}
	return pics, nil
}
