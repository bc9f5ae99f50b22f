//go:build cuda

package devices

import (
	"fmt"

	"psld/tensor/cuda"
)

func init() {
	Backends = append(Backends, Backend{Name: "cuda", About: "NVIDIA's GPUs", Precisions: cuda.Precisions,
		List: listCUDA, Open: cuda.Open})
}

func listCUDA() (list []Info, err error) {
	found, err := cuda.List()
	for _, v := range found {
		list = append(list, Info{Name: v.Name, Memory: v.Bytes, Err: v.Err,
			About: fmt.Sprintf("compute capability %d.%d, %s", v.Capability/10, v.Capability%10, cuda.Libraries())})
	}
	return list, err
}
