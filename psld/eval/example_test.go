package eval_test

import (
	"context"
	"fmt"

	"psld/psld/eval"
	"psld/psld/picture"
	"psld/psld/task"
)

// Compare a method with the measurement. Methods with a network want a model, such as that of prior.Default.
func Example() {
	x := picture.New(32, 32)
	for i := range x.Pix {
		x.Pix[i] = float32(i/3%32) / 32
	}
	report, err := eval.Run(context.Background(), nil, eval.List{x}, eval.Options{
		Tasks: []task.Name{task.Denoise}, Methods: []string{"tv"}, Sigma: 0.1, Seed: 1,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, row := range report.Rows {
		fmt.Println(row.Task, row.Method, row.N, "PSNR", row.Result("psnr").Text(0))
	}
	// Output:
	// denoise measurement 1 PSNR 26
	// denoise tv 1 PSNR 29
}
