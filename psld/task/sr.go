package task

import (
	"fmt"

	"psld/psld/operator"
	"psld/psld/param"
)

// SR2, SR4 and SR8 enlarge two, four and eight times what antialiased cubic down-sampling (the Resizer of the DPS
// code) made small.
const (
	SR2 Name = "sr2"
	SR4 Name = "sr4"
	SR8 Name = "sr8"
)

var (
	sr2 = enlarging(SR2, 2, "every other row and column: two times too small", "enlarge two times")
	sr4 = enlarging(SR4, 4, "three of four rows and columns: four times too small", "enlarge four times")
	sr8 = enlarging(SR8, 8, "seven of eight rows and columns: eight times too small", "enlarge eight times")
)

func enlarging(name Name, n int, lost, does string) Task {
	t := Task{
		Name: name, Scale: n, Aside: n != 4, Lost: lost, Does: does,
		Looks: fmt.Sprintf("The picture is small, and coarse when it is enlarged (%d times).", n),
		Operator: func(h, w int, _ Damage) (operator.Linear, error) {
			return operator.NewSR(h, w, 3, n)
		},
		Draw: nothing, TV: 0.005,
		Best: "diffpir",
	}
	if n == 4 {
		t.Sharper = "psld"
		t.ByDamage = map[string]Preset{"diffpir": refining}
	}
	return t
}

// refining are the parameters of DiffPIR for four times. Some noise that the network is not told of gives sharper
// pictures (LPIPS 0.93 times at 0.13 dB less) where the measurement has next to none, and nothing where it has. Found
// on eight training photographs of 96 pixels without noise, and on six with noise of 0.05.
func refining(sigma, _ float64) param.Values {
	return param.Values{"steps": 20, "from": 1.0, "to": 0.05, "lambda": 1.0, "zeta": 0.9,
		"s_noise": 1 + 0.05*max(0, 1-sigma/0.02), "orientations": 1}
}

// nothing is the test damage of tasks that need nothing.
func nothing(_, _ int, _ Values, _ uint64) (Damage, error) { return Damage{}, nil }
