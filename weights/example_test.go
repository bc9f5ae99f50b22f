package weights_test

import (
	"fmt"
	"os"
	"path/filepath"

	"psld/weights"
)

func Example() {
	dir, err := os.MkdirTemp("", "weights")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "layer.safetensors")
	err = weights.Write(path, []weights.Entry{
		{Name: "proj.weight", DType: weights.F16, Shape: []int{2, 2}, Data: []float32{1, 0.5, -2, 0}},
		{Name: "proj.bias", DType: weights.F32, Shape: []int{2}, Data: []float32{3, 4}},
	}, map[string]string{"format": "pt"})
	if err != nil {
		fmt.Println(err)
		return
	}

	f, err := weights.Open(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer f.Close()
	for _, name := range f.Names() {
		info, _ := f.Info(name)
		fmt.Println(name, info.DType, info.Shape)
	}
	source := weights.NewSet(f)
	w, err := source.Tensor("proj.weight", []int{2, 2})
	fmt.Println(w, err)
	// Output:
	// proj.bias F32 [2]
	// proj.weight F16 [2 2]
	// [1 0.5 -2 0] <nil>
}
