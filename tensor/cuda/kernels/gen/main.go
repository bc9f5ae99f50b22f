//go:build cuda

// Command gen compiles all kernels. It writes the PTX that is embedded, or checks that it is what the sources compile
// to and that they compile for every GPU that is meant to run them:
//
//	PSLD_NVRTC=.../libnvrtc.so.12 go run -tags cuda ./tensor/cuda/kernels/gen [-check] [FOLDER]
//
// FOLDER is that of the PTX. The compiler must be the version that kernels.NVRTC names.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"psld/tensor/cuda/kernels"
	"psld/tensor/cuda/nvrtc"
)

// architectures are those that kernels are compiled for in the check.
var architectures = []int{75, 80, 86, 89, 90, 100}

func main() {
	check := flag.Bool("check", false, "compare with the files and compile for all architectures")
	flag.Parse()
	folder := "tensor/cuda/kernels/ptx"
	if flag.NArg() > 0 {
		folder = flag.Arg(0)
	}
	if err := run(folder, *check); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(folder string, check bool) error {
	compiler, err := nvrtc.Open()
	if err != nil {
		return err
	}
	if v := fmt.Sprintf("%d.%d.", compiler.Major, compiler.Minor); !strings.HasPrefix(kernels.NVRTC, v) {
		return fmt.Errorf("this is NVRTC %s, the PTX is made by %s", v, kernels.NVRTC)
	}
	for _, m := range kernels.Modules() {
		ptx, err := compiler.Compile(m.Name+".cu", m.Source, fmt.Sprintf("compute_%d", m.Capability))
		if err != nil {
			return err
		}
		text := clean(string(ptx))
		for _, k := range m.Kernels {
			if !strings.Contains(text, ".entry "+k+"(") {
				return fmt.Errorf("%s.cu has a kernel %s and its PTX does not", m.Name, k)
			}
		}
		path := filepath.Join(folder, m.Name+".ptx")
		if !check {
			if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
				return err
			}
			continue
		}
		if now, err := os.ReadFile(path); err != nil || string(now) != text {
			return fmt.Errorf("%s is not what %s.cu compiles to: run gen without -check (%v)", path, m.Name, err)
		}
		for _, n := range architectures {
			if n < m.Capability {
				continue
			}
			arch := fmt.Sprintf("sm_%d", n)
			code, err := compiler.Compile(m.Name+".cu", m.Source, arch)
			if err != nil {
				return err
			}
			fmt.Printf("%s for %s: %d kernels, %d bytes\n", m.Name, arch, len(m.Kernels), len(code))
		}
	}
	return nil
}

var (
	version = regexp.MustCompile(`(?m)^\.version .*$`)
	hint    = regexp.MustCompile(`(?m)^\s*\.pragma "used_bytes_mask.*\n`)
)

// clean takes the end of the C string off, and lowers the version of the language to one that older drivers read. Of
// what is newer kernels have hints only, which go.
func clean(ptx string) string {
	ptx = hint.ReplaceAllString(strings.TrimRight(ptx, "\x00\n")+"\n", "")
	return version.ReplaceAllString(ptx, ".version 7.0")
}
