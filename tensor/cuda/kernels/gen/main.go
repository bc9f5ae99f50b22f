//go:build cuda

// Command gen compiles all kernels. It writes the PTX that is embedded, compares it with what the sources compile to,
// or compiles them for a GPU to see that it can:
//
//	PSLD_NVRTC=.../libnvrtc.so.12 go run -tags cuda ./tensor/cuda/kernels/gen [-check | -for sm_90] [FOLDER]
//
// FOLDER is that of the PTX. The compiler must be the version that kernels.NVRTC names.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"

	"psld/tensor/cuda/kernels"
	"psld/tensor/cuda/nvrtc"
)

func main() {
	check := flag.Bool("check", false, "compare the PTX with the files")
	arch := flag.String("for", "", "compile for the GPUs of an `architecture` such as sm_90, and write nothing")
	flag.Parse()
	folder := "tensor/cuda/kernels/ptx"
	if flag.NArg() > 0 {
		folder = flag.Arg(0)
	}
	if err := run(folder, *check, *arch); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(folder string, check bool, arch string) error {
	compiler, err := nvrtc.Open()
	if err != nil {
		return err
	}
	if v := fmt.Sprintf("%d.%d.", compiler.Major, compiler.Minor); !strings.HasPrefix(kernels.NVRTC, v) {
		return fmt.Errorf("this is NVRTC %s, the PTX is made by %s", v, kernels.NVRTC)
	}
	return each(kernels.Modules(), func(m kernels.Module) error {
		if arch == "" {
			return ptx(compiler, m, filepath.Join(folder, m.Name+".ptx"), check)
		}
		if arch < fmt.Sprintf("sm_%d", m.Capability) && len(arch) == len("sm_75") {
			return nil
		}
		code, err := compiler.Compile(m.Name+".cu", m.Source, arch)
		if err == nil {
			fmt.Printf("%s for %s: %d kernels, %d bytes\n", m.Name, arch, len(m.Kernels), len(code))
		}
		return err
	})
}

// each does work for all modules, as many at a time as there are processors.
func each(modules []kernels.Module, work func(kernels.Module) error) error {
	errs, free := make([]error, len(modules)), make(chan bool, runtime.NumCPU())
	var all sync.WaitGroup
	for i, m := range modules {
		free <- true
		all.Go(func() {
			errs[i] = work(m)
			<-free
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// ptx writes the PTX of a module, or compares it.
func ptx(compiler *nvrtc.Compiler, m kernels.Module, path string, check bool) error {
	code, err := compiler.Compile(m.Name+".cu", m.Source, fmt.Sprintf("compute_%d", m.Capability))
	if err != nil {
		return err
	}
	text := clean(string(code))
	for _, k := range m.Kernels {
		if !strings.Contains(text, ".entry "+k+"(") {
			return fmt.Errorf("%s.cu has a kernel %s and its PTX does not", m.Name, k)
		}
	}
	if !check {
		return os.WriteFile(path, []byte(text), 0o666)
	}
	if now, err := os.ReadFile(path); err != nil || string(now) != text {
		return fmt.Errorf("%s is not what %s.cu compiles to: run gen without -check (%v)", path, m.Name, err)
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
