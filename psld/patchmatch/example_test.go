package patchmatch_test

import (
	"context"
	"fmt"

	"psld/psld/patchmatch"
)

// A hole in stripes.
func Example() {
	const h, w = 32, 32
	pix, keep := make([]float32, h*w*3), make([]bool, h*w)
	for p := range keep {
		y, x := p/w, p%w
		keep[p] = y < 12 || y >= 18 || x < 12 || x >= 18
		if x/4%2 == 0 && keep[p] {
			pix[3*p], pix[3*p+1], pix[3*p+2] = 1, 1, 1
		}
	}
	f, err := patchmatch.New(pix, keep, h, w, 50)
	if err != nil {
		fmt.Println(err)
		return
	}
	err = f.Fill(context.Background(), pix, 1)
	fmt.Println(pix[3*(15*w+13)], pix[3*(15*w+17)], err)
	// Output: 0 1 <nil>
}
