package psld_test

import (
	"context"
	"fmt"

	"psld/psld"
	"psld/psld/param"
	"psld/psld/picture"
	"psld/psld/prior"
)

// Restore a picture of which half the pixels are missing. A program would use
// prior.Default, and picture.Load for the measurement.
func ExampleSolve() {
	model := prior.RandomTiny(1)
	damage, err := psld.NewDamage(psld.InpaintRandom, 24, 32, 42)
	if err != nil {
		fmt.Println(err)
		return
	}
	y, err := psld.Measure(picture.New(32, 24), damage, 0, 42)
	if err != nil {
		fmt.Println(err)
		return
	}
	res, err := psld.Solve(context.Background(), model, psld.Problem{Damage: damage, Measurement: y},
		psld.Options{Params: param.Values{"steps": 2}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(res.Picture.W, res.Picture.H, res.Steps)
	// Output: 32 24 2
}
