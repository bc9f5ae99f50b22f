package psld

import (
	"fmt"

	"psld/psld/picture"
)

// FindKnown returns which pixels of an inpainting measurement without a mask are known, row by
// row, and says in words what it took for missing: transparent pixels (alpha under
// 128 of 255) where there are any, else, for the tasks that NewDamage draws masks
// for, exactly black ones. A picture with no such pixel is an error.
func FindKnown(y *picture.Picture, t Task) (keep []bool, missing string, err error) {
	if y.Alpha != nil {
		if keep = y.Mask(false); count(keep, false) > 0 {
			return keep, "transparent", nil
		}
	}
	if t == InpaintRandom || t == InpaintBox {
		keep = make([]bool, y.W*y.H)
		for i := range keep {
			px := y.Pix[3*i : 3*i+3]
			keep[i] = px[0] > -1 || px[1] > -1 || px[2] > -1
		}
		if count(keep, false) > 0 {
			return keep, "exactly black", nil
		}
		return nil, "", fmt.Errorf("the picture has no transparent and no black pixels: give a mask of the missing ones")
	}
	return nil, "", fmt.Errorf("the picture has no transparent pixels: give a mask of what to repaint")
}

func count(list []bool, v bool) int {
	n := 0
	for _, x := range list {
		if x == v {
			n++
		}
	}
	return n
}
