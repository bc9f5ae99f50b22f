package psld_test

import (
	"context"
	"fmt"

	"psld/psld"
	"psld/psld/metric"
	"psld/psld/operator"
	"psld/psld/picture"
	"psld/psld/task"
)

// vignette is an operator of a user's own: a lens that gets darker to its border, on the light that [-1,1] stands for.
// Apply and its transpose are all that a method needs; what else it may have is in package operator (Proximal,
// Decomposed, ...).
type vignette struct{ h, w int }

func (v vignette) In() operator.Shape  { return operator.Shape{H: v.h, W: v.w, C: 3} }
func (v vignette) Out() operator.Shape { return v.In() }

// light is what comes through at a pixel, from 1 in the middle to 0.2 in the corners.
func (v vignette) light(i int) float32 {
	y, x := 2*float64(i/v.w)/float64(v.h-1)-1, 2*float64(i%v.w)/float64(v.w-1)-1
	return float32(1 - 0.4*(x*x+y*y))
}

func (v vignette) Apply(dst, x []float32) {
	for i := range dst {
		dst[i] = v.light(i/3) * x[i]
	}
}

func (v vignette) Adjoint(dst, y []float32) { v.Apply(dst, y) } // a diagonal is its own transpose

// A damage that the program does not know becomes a task like any other: help, restore, eval and tune have it.
func Example_operator() {
	remove, err := task.Register(&task.Task{
		Name: "vignette", Scale: 1, TV: 0.01,
		Lost: "light at the border", Looks: "The corners are grey.", Does: "take a lens's falling light out",
		Operator: func(h, w int, _ task.Damage) (operator.Linear, error) { return vignette{h, w}, nil },
		Draw:     func(_, _ int, _ task.Values, _ uint64) (task.Damage, error) { return task.Damage{}, nil },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer remove()
	x := picture.New(32, 32)
	for i := range x.Pix {
		x.Pix[i] = float32(i/3%32)/16 - 1
	}
	damage := psld.Damage{Task: "vignette"}
	y, err := task.Measure(x, damage, 0.02, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	r, err := psld.Solve(context.Background(), nil, psld.Problem{Damage: damage, Measurement: y},
		psld.Options{Method: "tv"})
	if err != nil {
		fmt.Println(err)
		return
	}
	psnr := func(p *picture.Picture) float64 { return metric.PSNR(metric.Unit(p.Pix), metric.Unit(x.Pix), 1) }
	fmt.Printf("PSNR %.0f dB, restored %.0f dB\n", psnr(y), psnr(r.Picture))
	// Output: PSNR 18 dB, restored 39 dB
}
