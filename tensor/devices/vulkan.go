//go:build vulkan

package devices

import (
	"fmt"

	"psld/tensor"
	"psld/tensor/vulkan"
)

func init() {
	Backends = append(Backends, Backend{Name: "vulkan", About: "GPUs, and whatever else has a driver for Vulkan",
		Precisions: vulkan.Precisions, List: listVulkan,
		Open: func(n int, precision string) (tensor.Device, error) {
			d, err := vulkan.Open(n, precision)
			if err != nil { // no nil pointer in a device that is not nil
				return nil, err
			}
			return d, nil
		}})
}

func listVulkan() (list []Info, err error) {
	found, err := vulkan.List()
	for _, v := range found {
		list = append(list, Info{Name: v.Name, About: fmt.Sprintf("%s, %s", v.Kind, v.Driver), Memory: v.Memory,
			Free: v.Free, Err: v.Err})
	}
	return list, err
}
