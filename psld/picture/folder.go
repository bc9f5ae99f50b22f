package picture

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"psld/psld/operator"
)

// kinds are the extensions of picture files, in lower case.
var kinds = map[string]bool{".jpg": true, ".jpeg": true, ".png": true, ".webp": true, ".tif": true, ".tiff": true,
	".bmp": true, ".gif": true}

// Files lists the paths of the picture files (JPEG, PNG, WebP, TIFF, BMP, GIF) of a folder and of those inside it, in
// the order of their names. Names that begin with a dot are left out, and folders behind links. A folder without any
// picture is an error.
func Files(dir string) ([]string, error) {
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
		case !hidden && !e.IsDir() && kinds[strings.ToLower(filepath.Ext(path))]:
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

// LoadSquares reads n pictures (all if n is 0, or if there are fewer) of a folder, spread evenly over its files in the
// order of their names, and scales the largest central square of each to size x size. Those that cannot be read are
// left out; the errors say why. None at all is an error.
func LoadSquares(dir string, n, size int) (pics []*Picture, left []error, err error) {
	if n < 0 || size < MinSide {
		return nil, nil, fmt.Errorf("%d pictures of %d pixels a side, want at least 0 of %d", n, size, MinSide)
	}
	paths, err := Files(dir)
	if err != nil {
		return nil, nil, err
	}
	if n == 0 || n > len(paths) {
		n = len(paths)
	}
	for i := range n {
		p, err := loadSquare(paths[i*len(paths)/n], size)
		if err != nil {
			left = append(left, err)
			continue
		}
		pics = append(pics, p)
	}
	if len(pics) == 0 {
		return nil, nil, fmt.Errorf("no picture of %s can be read: %w", dir, left[0])
	}
	return pics, left, nil
}

// loadSquare reads the largest central square of a picture, scaled to size x size.
func loadSquare(path string, size int) (*Picture, error) {
	p, err := Load(path)
	if err != nil {
		return nil, err
	}
	side := min(p.W, p.H)
	if p, err = CropCentre(p, side, side); err != nil {
		return nil, err
	}
	return Resize(p, size, size, operator.CubicSmall)
}
