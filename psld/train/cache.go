package train

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"psld/internal/atomicfile"
	"psld/weights"
)

// CachedPhotos is LoadPhotos by way of the file path, a safetensors file of bytes [h,w,3]: it is written where it is
// not there or was made of other photos (by folders, names, sizes and times), and then mapped, so that photos are
// decoded once, a training starts at once, and pages that it does not look at cost no memory. The first time takes
// memory for all photos. A file at path that is no such cache is an error. Close unmaps it.
func CachedPhotos(path string, min int, dirs ...string) (*Photos, error) {
	if err := atomicfile.Check(path); err != nil {
		return nil, fmt.Errorf("cache of photos: %w", err)
	}
	names, err := photoNames(dirs)
	if err != nil {
		return nil, err
	}
	key, err := photosKey(min, names)
	if err != nil {
		return nil, err
	}
	p, err := openCache(path, key)
	if p != nil || err != nil {
		return p, err
	}
	if p, err = readPhotos(min, names, dirs); err != nil {
		return nil, err
	}
	if err := p.writeCache(path, key); err != nil {
		return nil, err
	}
	p, err = openCache(path, key)
	if p == nil && err == nil {
		err = fmt.Errorf("%s: another program wrote it at the same time", path)
	}
	return p, err
}

// photosKey is a checksum of what tells whether a cache is of these photos.
func photosKey(min int, names []string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, min)
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%q %d %d\n", name, info.Size(), info.ModTime().UnixNano())
	}
	return hex.EncodeToString(h.Sum(nil)[:16]), nil
}

func (p *Photos) writeCache(path, key string) error {
	var entries []weights.Entry
	for i, ph := range p.pics {
		entries = append(entries, weights.Entry{Name: fmt.Sprintf("photo.%08d", i), DType: weights.U8,
			Shape: []int{ph.h, ph.w, 3}, Raw: ph.pix})
	}
	left := []string{}
	for _, err := range p.Left {
		left = append(left, err.Error())
	}
	text, err := json.Marshal(left)
	if err != nil {
		return err
	}
	return weights.Write(path, entries, map[string]string{"photos": key, "left": string(text)})
}

// openCache maps a cache of photos. It is nil where there is none, or one of other photos.
func openCache(path, key string) (p *Photos, err error) {
	f, err := weights.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("no cache of photos: %w", err)
	}
	defer func() {
		if p == nil {
			err = errors.Join(err, f.Close())
		}
	}()
	if f.Metadata()["photos"] == "" {
		return nil, fmt.Errorf("%s is no cache of photos: remove it, or name another file", path)
	}
	if f.Metadata()["photos"] != key {
		return nil, nil
	}
	all := &Photos{file: f}
	var left []string
	if err := json.Unmarshal([]byte(f.Metadata()["left"]), &left); err != nil {
		return nil, fmt.Errorf("%s: broken cache of photos: %w", path, err)
	}
	for _, text := range left {
		all.Left = append(all.Left, errors.New(text))
	}
	for _, name := range f.Names() { // sorted
		info, _ := f.Info(name)
		pix, err := f.Bytes(name)
		if err != nil {
			return nil, err
		}
		if info.DType != weights.U8 || len(info.Shape) != 3 || info.Shape[2] != 3 || slices.Min(info.Shape) < 1 {
			return nil, fmt.Errorf("%s: broken cache of photos: %s is %s%v, want bytes [h,w,3]", path, name, info.DType,
				info.Shape)
		}
		all.pics = append(all.pics, photo{info.Shape[1], info.Shape[0], pix})
	}
	return all, nil
}

// Close unmaps the file that CachedPhotos opened; the photos are gone then. Without such a file it does nothing.
func (p *Photos) Close() error {
	if p.file == nil {
		return nil
	}
	p.pics = nil
	return p.file.Close()
}
