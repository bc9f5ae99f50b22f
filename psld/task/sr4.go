package task

import "psld/psld/operator"

// SR4 enlarges four times what antialiased cubic down-sampling (the Resizer of the DPS code) made small.
const SR4 Name = "sr4"

var sr4 = Task{
	Name: SR4, Scale: 4,
	Lost:     "three of four rows and columns: four times too small",
	Looks:    "The picture is small, and coarse when it is enlarged.",
	Does:     "enlarge four times",
	Operator: func(h, w int, _ Damage) (operator.Linear, error) { return operator.NewSR(h, w, 3, 4) },
	Draw:     nothing, TV: 0.005,
	Best: "diffpir", Presets: diffPIR(0.5, 0.05, 1),
	Tuned: tuned(0.03, 1, 1), Published: published(0.1, 1),
}

// nothing is the test damage of tasks that need nothing.
func nothing(_, _ int, _ Values, _ uint64) (Damage, error) { return Damage{}, nil }
