package task

import (
	"context"

	"psld/psld/operator"
)

// Colourise gives a grey picture its colours. The measurement is one number a pixel, the grey of [operator.Luma].
const Colourise Name = "colourise"

var colourise = Task{
	Name: Colourise, Scale: 1, Aside: true,
	Lost:     "the colours",
	Looks:    "The picture is black and white.",
	Does:     "give a grey picture colours",
	Operator: func(h, w int, _ Damage) (operator.Linear, error) { return operator.NewGrey(h, w, operator.Luma) },
	Draw:     nothing, TV: 0.03,
	Best: "diffpir",
	Rough: func(_ context.Context, _ operator.Linear, y []float32, _ Damage) ([]float32, error) {
		x := make([]float32, 3*len(y))
		for i := range x {
			x[i] = y[i/3]
		}
		return x, nil
	},
}
