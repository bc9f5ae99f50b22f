package task

import "psld/psld/operator"

// SR4Mean enlarges four times what means over blocks of 4 x 4 pixels made small, as in the DDRM code.
const SR4Mean Name = "sr4-mean"

var sr4Mean = Task{
	Name: SR4Mean, Scale: 4, Aside: true,
	Lost:     "all but the means of 4x4 pixels",
	Looks:    "The picture is small, and blocky when it is enlarged.",
	Does:     "enlarge four times what was averaged",
	Operator: func(h, w int, _ Damage) (operator.Linear, error) { return operator.NewAveragePool(h, w, 3, 4) },
	Draw:     nothing, TV: 0.005,
	Best: "diffpir", Sharper: "psld",
}
