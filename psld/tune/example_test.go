package tune_test

import (
	"context"
	"fmt"

	"psld/psld"
	"psld/psld/picture"
	"psld/psld/prior"
	"psld/psld/tune"
)

// A search for the parameters of a task, on one grey picture and with a random model.
func Example() {
	s := &tune.Search{
		Model:    prior.RandomTiny(1),
		Pictures: []*picture.Picture{{H: 16, W: 16, Pix: make([]float32, 16*16*3)}},
		Steps:    []int{2, 3}, Gluing: []int{1}, Fixed: []string{"strength", "omega", "gamma"},
		Work: func(gluing bool) float64 { return 1e9 },
	}
	best, _, err := s.Task(context.Background(), psld.SR4)
	fmt.Println(best.Steps <= 100, len(s.Known), err)
	// Output: true 3 <nil>
}
