package psld

import (
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/operator"
	"psld/psld/picture"
	"psld/psld/task"
)

// What is told of a damage is taken, what is left out is made out from the picture, and what makes no sense is named.
func TestFindDamage(t *testing.T) {
	dir := t.TempDir()
	y := picture.New(12, 10)
	for i := range y.Pix {
		y.Pix[i] = float32(i%7)/7 - 0.3
	}
	mask := image.NewGray(image.Rect(0, 0, 12, 10))
	mask.SetGray(3, 2, color.Gray{Y: 255})
	maskFile := filepath.Join(dir, "mask.png")
	f, err := os.Create(maskFile)
	require.NoError(t, err)
	require.NoError(t, png.Encode(f, mask))
	require.NoError(t, f.Close())
	kernel, err := operator.Gaussian(5, 1)
	require.NoError(t, err)
	kernelFile := filepath.Join(dir, "kernel.png")
	require.NoError(t, operator.SaveKernel(kernelFile, kernel))

	d, words, err := FindDamage(task.Must(Inpaint), y, Told{Mask: maskFile})
	require.NoError(t, err)
	require.Equal(t, []string{"1 of 120 pixels missing (0.8 %), from the mask"}, words)
	for i, keep := range d.Keep {
		require.Equal(t, i != 2*12+3, keep)
	}
	d, _, err = FindDamage(task.Must(Inpaint), y, Told{Mask: maskFile, InvertMask: true})
	require.NoError(t, err)
	require.True(t, d.Keep[2*12+3])
	require.False(t, d.Keep[0])

	box := image.Rect(2, 3, 6, 5)
	d, words, err = FindDamage(task.Must(InpaintBox), y, Told{Box: box})
	require.NoError(t, err)
	require.Equal(t, []string{"8 of 120 pixels missing (6.7 %), from the box"}, words)
	require.Equal(t, []bool{true, false, false, false, false, true}, d.Keep[4*12+1:4*12+7])
	require.NotContains(t, d.Keep[:3*12], false)

	d, words, err = FindDamage(task.Must(DeblurMotion), y, Told{Kernel: kernelFile})
	require.NoError(t, err)
	require.Equal(t, []string{"kernel of 5x5 pixels"}, words)
	require.InDelta(t, 1, d.Kernel.Width(), 0.1)
	d, words, err = FindDamage(task.Must(DeblurGaussian), y, Told{Blur: task.Values{"kernel-std": 2}})
	require.NoError(t, err)
	require.Equal(t, []string{"kernel std 2"}, words)
	require.InDelta(t, 2, d.Kernel.Width(), 0.01)
	d, words, err = FindDamage(task.Must(SR4), y, Told{})
	require.NoError(t, err)
	require.Empty(t, words)
	require.Equal(t, Damage{Task: SR4}, d)

	require.NoError(t, png.Encode(must(os.Create(filepath.Join(dir, "black.png"))), image.NewGray(mask.Rect)))
	for name, bad := range map[string]struct {
		task Task
		told Told
		want string
	}{
		"nothing told":  {DeblurMotion, Told{}, "needs"},
		"no mask":       {Inpaint, Told{}, "no transparent pixels"},
		"black mask":    {Inpaint, Told{Mask: filepath.Join(dir, "black.png")}, "0 of 120"},
		"no file":       {Inpaint, Told{Mask: filepath.Join(dir, "none.png")}, "none.png"},
		"other task":    {SR4, Told{Mask: maskFile}, "a mask has no meaning for task sr4"},
		"kernel":        {Inpaint, Told{Kernel: kernelFile}, "a kernel has no meaning for task inpaint"},
		"twice":         {DeblurGaussian, Told{Kernel: kernelFile, Blur: task.Values{"kernel-std": 2}}, "beside"},
		"out of range":  {DeblurGaussian, Told{Blur: task.Values{"kernel-std": -2}}, "kernel-std -2"},
		"box and mask":  {Inpaint, Told{Mask: maskFile, Box: box}, "beside a mask"},
		"box inverted":  {Inpaint, Told{Box: box, InvertMask: true}, "cannot be inverted"},
		"box outside":   {Inpaint, Told{Box: box.Add(image.Pt(9, 0))}, "4x2 pixels at 11,3, want one inside of"},
		"box of task":   {SR4, Told{Box: box}, "a mask has no meaning for task sr4"},
		"mask as photo": {Inpaint, Told{Mask: kernelFile}, "5x5"},
	} {
		_, _, err := FindDamage(task.Must(bad.task), y, bad.told)
		require.ErrorContains(t, err, bad.want, name)
	}
	_, _, err = FindDamage(nil, y, Told{})
	require.ErrorContains(t, err, "t is nil")
	_, _, err = FindDamage(task.Must(SR4), nil, Told{})
	require.ErrorContains(t, err, "y is nil")
	_, _, err = FindDamage(task.Must(SR4), &picture.Picture{W: 3, H: 3}, Told{})
	require.ErrorContains(t, err, "y: ")
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
