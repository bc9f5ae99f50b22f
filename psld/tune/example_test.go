package tune_test

import (
	"context"
	"fmt"

	"psld/psld"
	"psld/psld/picture"
	"psld/psld/prior"
	"psld/psld/tune"
)

// A search for the parameters of PSLD for a task, on one grey picture and with a random model.
func Example() {
	s := &tune.Search{
		Model:      prior.RandomTiny(1),
		Pictures:   []*picture.Picture{{H: 16, W: 16, Pix: make([]float32, 16*16*3)}},
		Candidates: 2,
	}
	best, preset, err := s.Task(context.Background(), psld.SR4, "psld")
	fmt.Println(best.Score >= preset.Score, len(s.Known), err)
	// Output: true 3 <nil>
}
