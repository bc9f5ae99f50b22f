package train

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"

	"psld/psld/picture"
	"psld/tensor"
	"psld/tensor/cpu"
	"psld/weights"
)

// Photos are the pictures of folders, in memory or mapped.
type Photos struct {
	Left []error // why files are left out
	pics []photo
	file *weights.File // that pics lie in, nil where they lie in memory
}

type photo struct {
	w, h int
	pix  []uint8 // [h][w][3]
}

// LoadPhotos reads every picture of the folders, in the order of their names. Those that cannot be read, and those
// with a side under min pixels, are left out; Left says why. None at all is an error.
func LoadPhotos(min int, dirs ...string) (*Photos, error) {
	names, err := photoNames(dirs)
	if err != nil {
		return nil, err
	}
	return readPhotos(min, names, dirs)
}

// readPhotos is LoadPhotos where the names of the files are known.
func readPhotos(min int, names, dirs []string) (*Photos, error) {
	pics := make([]photo, len(names))
	errs := make([]error, len(names))
	var wg sync.WaitGroup
	slots := make(chan struct{}, cpu.Threads())
	for i, name := range names {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			pics[i], errs[i] = readPhoto(name, min)
		})
	}
	wg.Wait()
	p := &Photos{}
	for i, err := range errs {
		if err != nil {
			p.Left = append(p.Left, err)
			continue
		}
		p.pics = append(p.pics, pics[i])
	}
	if len(p.pics) == 0 {
		return nil, fmt.Errorf("no photo of %s can be used: %w", strings.Join(dirs, ", "), p.Left[0])
	}
	return p, nil
}

// photoNames lists the pictures of folders, of each by name; none at all is an error.
func photoNames(dirs []string) (names []string, err error) {
	for _, dir := range dirs {
		list, err := picture.Files(dir)
		if err != nil {
			return nil, fmt.Errorf("photos: %w", err)
		}
		names = append(names, list...)
	}
	if len(names) == 0 {
		return nil, errors.New("no folders of photos are named")
	}
	return names, nil
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

// Digest is a checksum of all photos, in their order.
func (p *Photos) Digest() string {
	h := sha256.New()
	for _, ph := range p.pics {
		fmt.Fprintln(h, ph.w, ph.h)
		h.Write(ph.pix)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// Len is the number of photos.
func (p *Photos) Len() int { return len(p.pics) }

// Batch returns n random square crops, scaled down by area to size x size, flipped and turned by quarters at
// random: [n,size,size,3] in [-1,1]. A third of them are not scaled; the sides of the others are between size and
// the photo's shorter side, so that the model sees texture at several scales.
func (p *Photos) Batch(r *rand.Rand, n, size int) *tensor.Tensor {
	type pick struct {
		ph         *photo
		side, x, y int
		turn       int
	}
	picks := make([]pick, n)
	for i := range picks {
		ph := &p.pics[r.IntN(len(p.pics))]
		side := size
		if r.IntN(3) > 0 {
			side += r.IntN(min(ph.w, ph.h) - size + 1)
		}
		picks[i] = pick{ph, side, r.IntN(ph.w - side + 1), r.IntN(ph.h - side + 1), r.IntN(8)}
	}
	t := tensor.New(n, size, size, 3)
	var wg sync.WaitGroup
	for i, k := range picks {
		wg.Go(func() { crop(t.Data[i*size*size*3:][:size*size*3], size, k.ph, k.side, k.x, k.y, k.turn) })
	}
	wg.Wait()
	return t
}

// Centre returns photos [from, from+n), each with its largest central square scaled
// down to size x size: [n,size,size,3] in [-1,1].
func (p *Photos) Centre(from, n, size int) *tensor.Tensor {
	return p.central(from, n, size, func(ph *photo) int { return min(ph.w, ph.h) })
}

// Middle returns the central size x size pixels of photos [from, from+n), not scaled: [n,size,size,3] in [-1,1].
func (p *Photos) Middle(from, n, size int) *tensor.Tensor {
	return p.central(from, n, size, func(*photo) int { return size })
}

func (p *Photos) central(from, n, size int, side func(*photo) int) *tensor.Tensor {
	t := tensor.New(n, size, size, 3)
	for i := range n {
		ph := &p.pics[from+i]
		s := side(ph)
		crop(t.Data[i*size*size*3:][:size*size*3], size, ph, s, (ph.w-s)/2, (ph.h-s)/2, 0)
	}
	return t
}

// crop scales a square of the photo to size x size by area (box filter), and turns it: bit 0 of turn mirrors, bit 1
// turns upside down, bit 2 exchanges rows and columns.
func crop(dst []float32, size int, ph *photo, side, x0, y0, turn int) {
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
	line := make([]float32, side*3) // rows added up
	for y, sy := range spans {
		clear(line)
		for j := sy.from; j < sy.to; j++ {
			w := sy.w[j-sy.from]
			for k, v := range ph.pix[((y0+j)*ph.w+x0)*3:][:side*3] {
				line[k] += w * float32(v)
			}
		}
		for x, sx := range spans {
			var sum [3]float32
			for i := sx.from; i < sx.to; i++ {
				w := sx.w[i-sx.from]
				for c := range sum {
					sum[c] += w * line[3*i+c]
				}
			}
			r, q := y, x
			if turn&1 != 0 {
				q = size - 1 - q
			}
			if turn&2 != 0 {
				r = size - 1 - r
			}
			if turn&4 != 0 {
				r, q = q, r
			}
			for c, v := range sum {
				dst[(r*size+q)*3+c] = v/127.5 - 1
			}
		}
	}
}
