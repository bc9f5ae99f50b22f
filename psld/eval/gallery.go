package eval

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"psld/internal/atomicfile"
	"psld/psld/picture"
	"psld/psld/task"
)

// truth is the column of a grid with the undamaged pictures.
const truth = "truth"

func pictureFile(dir string, t task.Name, method string, i int) string {
	return filepath.Join(dir, "pictures", string(t), fmt.Sprintf("%05d-%s.png", i, method))
}

// savePicture keeps a picture for a grid.
func savePicture(dir string, t task.Name, method string, i int, p *picture.Picture) error {
	path := pictureFile(dir, t, method, i)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	return picture.Save(path, p)
}

// gridMost is the most pictures that a grid shows.
const gridMost = 16

// grid lays out the pictures that were kept of a task: a line each, with the measurement, the result of every method,
// and the truth. nil: there are none.
func (r *Report) grid(t task.Name) (*picture.Picture, error) {
	var panels []picture.Panel
	columns := append(slices.Clone(r.Methods), truth)
	for i := r.From; i < min(r.To, r.From+gridMost); i++ {
		line := map[string]*picture.Picture{}
		for _, method := range columns {
			for _, dir := range r.Dirs {
				p, err := picture.Load(pictureFile(dir, t, method, i))
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				if err != nil {
					return nil, err
				}
				line[method] = p
				break
			}
		}
		if line[truth] == nil {
			break
		}
		for _, method := range columns {
			panel := picture.Panel{Pic: line[method]}
			if i == r.From {
				panel.Title = method
			}
			if panel.Pic == nil { // refused
				panel.Pic, panel.Sub = picture.New(r.Width, r.Height), "n/a"
			}
			panels = append(panels, panel)
		}
	}
	if panels == nil {
		return nil, nil
	}
	return picture.Sheet(panels, len(columns))
}

// Write writes the report into a folder: table.md, table.csv and table.json, a grid of pictures for each task whose
// pictures were kept, and plots of quality over time.
func (r *Report) Write(dir string) (files []string, err error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	write := func(name string, f func(io.Writer) error) error {
		path := filepath.Join(dir, name)
		files = append(files, path)
		return atomicfile.Write(path, f)
	}
	err = errors.Join(
		write("table.md", func(w io.Writer) error {
			if err := r.Markdown(w); err != nil {
				return err
			}
			if _, err := io.WriteString(w, "\n"); err != nil {
				return err
			}
			return r.Configuration(w)
		}),
		write("table.csv", r.CSV),
		write("table.json", r.JSON))
	for _, t := range r.Tasks {
		g, e := r.grid(t)
		if e == nil && g != nil {
			e = write(string(t)+".png", func(w io.Writer) error { return picture.EncodePNG(w, g) })
		}
		err = errors.Join(err, e)
	}
	for k, info := range r.Infos {
		if r.drawable(k) {
			err = errors.Join(err, write("time-"+info.Name+".png", func(w io.Writer) error { return r.plot(w, k) }))
		}
	}
	return files, err
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
