package train

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"sync"

	"psld/psld/picture"
	"psld/tensor"
)

// Photos is a folder of pictures in memory.
type Photos struct {
	pics []photo
}

type photo struct {
	w, h int
	pix  []uint8 // [h][w][3]
}

// LoadPhotos reads every JPEG, PNG and WebP of a folder, in the order of their names.
// A file that cannot be read, or a side under min pixels, is an error that names it.
func LoadPhotos(dir string, min int) (*Photos, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("training photos: %w", err)
	}
	var names []string
	for _, e := range entries {
		switch strings.ToLower(filepath.Ext(e.Name())) {
		case ".jpg", ".jpeg", ".png", ".webp":
			names = append(names, filepath.Join(dir, e.Name()))
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("training photos: no .jpg, .png or .webp in %s", dir)
	}
	sort.Strings(names)
	p := &Photos{pics: make([]photo, len(names))}
	errs := make([]error, len(names))
	var wg sync.WaitGroup
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i, name := range names {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			p.pics[i], errs[i] = readPhoto(name, min)
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return p, nil
}

func readPhoto(name string, min int) (photo, error) {
	p, err := picture.Load(name)
	if err != nil {
		return photo{}, err
	}
	if p.W < min || p.H < min {
		return photo{}, fmt.Errorf("%s is %dx%d, want at least %d pixels a side", name, p.W, p.H, min)
	}
	ph := photo{p.W, p.H, make([]uint8, len(p.Pix))} // bytes: a folder of photos stays in memory
	for i, v := range p.Pix {
		ph.pix[i] = uint8(math.Round(float64(v)*127.5 + 127.5))
	}
	return ph, nil
}

// Len is the number of photos.
func (p *Photos) Len() int { return len(p.pics) }

// Batch returns n random square crops, scaled down by area to size x size and
// flipped at random: [n,size,size,3] in [-1,1]. The side of a crop is between size and the
// photo's shorter side, so that the model sees texture at several scales.
func (p *Photos) Batch(r *rand.Rand, n, size int) *tensor.Tensor {
	type pick struct {
		ph         *photo
		side, x, y int
		flip       bool
	}
	picks := make([]pick, n)
	for i := range picks {
		ph := &p.pics[r.IntN(len(p.pics))]
		side := size + r.IntN(min(ph.w, ph.h)-size+1)
		picks[i] = pick{ph, side, r.IntN(ph.w - side + 1), r.IntN(ph.h - side + 1), r.IntN(2) == 1}
	}
	t := tensor.New(n, size, size, 3)
	var wg sync.WaitGroup
	for i, k := range picks {
		wg.Go(func() { crop(t.Data[i*size*size*3:][:size*size*3], size, k.ph, k.side, k.x, k.y, k.flip) })
	}
	wg.Wait()
	return t
}

// Centre returns photos [from, from+n), each with its largest central square scaled
// down to size x size: [n,size,size,3] in [-1,1].
func (p *Photos) Centre(from, n, size int) *tensor.Tensor {
	t := tensor.New(n, size, size, 3)
	for i := range n {
		ph := &p.pics[from+i]
		side := min(ph.w, ph.h)
		crop(t.Data[i*size*size*3:][:size*size*3], size, ph, side, (ph.w-side)/2, (ph.h-side)/2, false)
	}
	return t
}

// crop scales a square of the photo to size x size by area (box filter).
func crop(dst []float32, size int, ph *photo, side, x0, y0 int, flip bool) {
	type span struct {
		from, to int
		w        []float32
	}
	scale := float64(side) / float64(size)
	spans := make([]span, size)
	for i := range spans {
		lo, hi := float64(i)*scale, float64(i+1)*scale
		s := span{from: int(lo), to: min(side, int(hi-1e-9)+1)}
		for k := s.from; k < s.to; k++ {
			s.w = append(s.w, float32((min(hi, float64(k+1))-max(lo, float64(k)))/scale))
		}
		spans[i] = s
	}
	for y, sy := range spans {
		for x, sx := range spans {
			var sum [3]float32
			for j := sy.from; j < sy.to; j++ {
				for i := sx.from; i < sx.to; i++ {
					w := sy.w[j-sy.from] * sx.w[i-sx.from]
					px := ph.pix[((y0+j)*ph.w+x0+i)*3:]
					for c := range sum {
						sum[c] += w * float32(px[c])
					}
				}
			}
			ox := x
			if flip {
				ox = size - 1 - x
			}
			for c, v := range sum {
				dst[(y*size+ox)*3+c] = v/127.5 - 1
			}
		}
	}
}
