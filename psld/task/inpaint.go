package task

import (
	"context"

	"psld/psld/operator"
)

// Inpaint repaints what a mask of the user says. It has no masks of its own.
const Inpaint Name = "inpaint"

var inpaint = Task{
	Name: Inpaint, Scale: 1, Needs: Mask,
	Lost:  "the white part of a mask, or the transparent part of the picture",
	Looks: "Something is to go, or a part is gone.",
	Does:  "repaint the white part of the mask, or the transparent part of the picture",
	Best:  "psld-patchmatch", Thin: "pnp-admm", Operator: masked, Rough: interpolated, TV: 0.003,
}

// masked is zero where pixels are missing.
func masked(h, w int, d Damage) (operator.Linear, error) { return operator.NewMask(h, w, 3, d.Keep) }

// interpolated fills missing pixels smoothly (Laplace's equation).
func interpolated(ctx context.Context, a operator.Linear, y []float32, d Damage) ([]float32, error) {
	in := a.In()
	x := make([]float32, in.Len())
	return x, paste(ctx, x, y, d.Keep, [2]int{in.H, in.W}, pasteRounds, relaxation(in.H, in.W))
}
