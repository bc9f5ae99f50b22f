package picture_test

import (
	"fmt"
	"os"
	"path/filepath"

	"psld/psld/operator"
	"psld/psld/picture"
)

// Read a photo, cut a square, shrink it, and put both on one labelled sheet.
func Example() {
	dir, err := os.MkdirTemp("", "psld")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	photo := filepath.Join(dir, "photo.png")
	if err := picture.Save(photo, picture.New(300, 200)); err != nil {
		fmt.Println(err)
		return
	}

	p, err := picture.Load(photo)
	if err != nil {
		fmt.Println(err)
		return
	}
	square, err := picture.CropCentre(p, 200, 200)
	if err != nil {
		fmt.Println(err)
		return
	}
	small, err := picture.Resize(square, 64, 64, operator.CubicSmall)
	if err != nil {
		fmt.Println(err)
		return
	}
	sheet, err := picture.Sheet([]picture.Panel{
		{Title: "photo", Pic: square},
		{Title: "small", Sub: "64x64", Pic: small},
	}, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	err = picture.Save(filepath.Join(dir, "sheet.png"), sheet, picture.Text{Key: "parameters", Value: "Size: 64x64"})
	fmt.Println(p.W, p.H, small.W, small.H, err)
	// Output: 300 200 64 64 <nil>
}
