//go:build cuda

package cuda

import (
	"fmt"
	"os"

	"psld/internal/dynlib"
)

// named are the variables that name a library, and a function of that.
var named = [][2]string{{"PSLD_NVRTC", "nvrtcVersion"}, {"PSLD_CUBLASLT", "cublasLtCreate"}}

// checkNamed is an error where a variable names a library that cannot be used: those that nobody names may lack, but
// who names one shall not measure without it.
func checkNamed() error {
	for _, v := range named {
		name := os.Getenv(v[0])
		if name == "" || name == "none" {
			continue
		}
		lib, err := dynlib.Open(name)
		if err == nil {
			_, err = lib.Find(v[1])
		}
		if err != nil {
			return fmt.Errorf("cuda: %s=%s, want a library or none: %w", v[0], name, err)
		}
	}
	return nil
}

// Libraries says in words where kernels come from on this machine, and whether cuBLASLt is there.
func Libraries() string {
	text := "kernels from the PTX in the program"
	if c := compiler(); c != nil {
		text = fmt.Sprintf("kernels by NVRTC %d.%d", c.Major, c.Minor)
	}
	if lib := blasLibrary(); lib != nil {
		return text + ", products by " + lib.Path
	}
	return text + ", no cuBLASLt"
}
