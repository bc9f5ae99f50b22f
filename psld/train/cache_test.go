package train

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"psld/weights"
)

// Photos of a cache are those of the folder; it is read again while they stay, and made anew when they change.
func TestCachedPhotos(t *testing.T) {
	dir, path := fakePhotos(t, 3, 24), filepath.Join(t.TempDir(), "photos.safetensors")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "01b.png"), []byte("no picture"), 0o600))
	want, err := LoadPhotos(16, dir)
	require.NoError(t, err)
	load := func() (digest string, n int) {
		p, err := CachedPhotos(path, 16, dir)
		require.NoError(t, err)
		require.Len(t, p.Left, 1)
		require.Equal(t, want.Left[0].Error(), p.Left[0].Error())
		digest, n = p.Digest(), p.Len()
		require.NoError(t, p.Close())
		return digest, n
	}
	digest, n := load()
	require.Equal(t, 3, n)
	require.Equal(t, want.Digest(), digest)

	first, err := os.Stat(path)
	require.NoError(t, err)
	digest, _ = load()
	require.Equal(t, want.Digest(), digest)
	again, err := os.Stat(path)
	require.NoError(t, err)
	require.True(t, os.SameFile(first, again), "read, not written anew")

	require.NoError(t, os.Remove(filepath.Join(dir, "02.png")))
	_, n = load()
	require.Equal(t, 2, n)
	later := time.Now().Add(time.Hour)
	require.NoError(t, os.Chtimes(filepath.Join(dir, "00.png"), later, later))
	before, err := os.Stat(path)
	require.NoError(t, err)
	load()
	again, err = os.Stat(path)
	require.NoError(t, err)
	require.False(t, os.SameFile(before, again), "a photo that was written since is read again")
}

func TestCachedPhotosErrors(t *testing.T) {
	dir, path := fakePhotos(t, 1, 24), filepath.Join(t.TempDir(), "photos.safetensors")
	_, err := CachedPhotos(filepath.Join(path, "deeper"), 16, dir)
	require.ErrorContains(t, err, path)
	_, err = CachedPhotos(path, 16, t.TempDir())
	require.Error(t, err)

	other := []weights.Entry{{Name: "w", DType: weights.F32, Shape: []int{1}, Data: []float32{1}}}
	require.NoError(t, weights.Write(path, other, nil))
	_, err = CachedPhotos(path, 16, dir)
	require.ErrorContains(t, err, path+" is no cache of photos")

	names, err := photoNames([]string{dir})
	require.NoError(t, err)
	key, err := photosKey(16, names)
	require.NoError(t, err)
	require.NoError(t, weights.Write(path, other, map[string]string{"photos": key, "left": "[]"}))
	_, err = CachedPhotos(path, 16, dir)
	require.ErrorContains(t, err, "want bytes [h,w,3]")
}
