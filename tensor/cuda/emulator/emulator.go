// Package emulator builds a library with the entry points of CUDA's driver that runs the kernels of tensor/cuda on the
// processor: the same sources, compiled as C++. It is for tests, on machines without a GPU.
package emulator

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"psld/tensor/cuda/kernels"
)

//go:embed src
var sources embed.FS

// ErrNoCompiler is what Build gives where there is no C++ compiler.
var ErrNoCompiler = errors.New("no C++ compiler (g++ or clang++)")

// Build makes the library, or finds the one that it made of the same sources before, in the folder of the system's
// temporary files, and returns its path. Objects are kept there too: after a change of one file that is compiled
// alone.
func Build() (string, error) {
	compiler := ""
	for _, name := range []string{"g++", "clang++"} {
		if path, err := exec.LookPath(name); err == nil {
			compiler = path
			break
		}
	}
	if compiler == "" {
		return "", ErrNoCompiler
	}
	files := texts()
	h := sha256.New()
	for _, f := range files {
		fmt.Fprintf(h, "%s %d %s", f.name, len(f.text), f.text)
	}
	library := filepath.Join(os.TempDir(), "psld-cuda-emulator-"+hex.EncodeToString(h.Sum(nil))[:16]+".so")
	if _, err := os.Stat(library); err == nil {
		return library, nil
	}
	dir, err := os.MkdirTemp("", "psld-cuda-emulator-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(dir, f.name), []byte(f.text), 0o666); err != nil {
			return "", err
		}
	}
	if err := compile(compiler, dir, files, filepath.Join(dir, "out.so")); err != nil {
		return "", err
	}
	return library, os.Rename(filepath.Join(dir, "out.so"), library)
}

type file struct{ name, text string }

// texts are the files of the library: its own, and one for each file of kernels.
func texts() (list []file) {
	entries, err := sources.ReadDir("src")
	if err != nil {
		panic(err)
	}
	for _, e := range entries {
		data, err := sources.ReadFile("src/" + e.Name())
		if err != nil {
			panic(err)
		}
		list = append(list, file{e.Name(), string(data)})
	}
	for _, m := range kernels.Modules() {
		var b strings.Builder
		fmt.Fprintf(&b, "#include \"emulator.h\"\n%s\n#include \"kernel.h\"\n", m.Source)
		for _, k := range m.Kernels {
			fmt.Fprintf(&b, "REGISTER(%s)\n", k)
		}
		list = append(list, file{m.Name + ".cpp", b.String()})
	}
	return list
}

// flags are those of the compiler.
var flags = []string{"-O3", "-march=native", "-std=c++17", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off",
	"-Wno-unknown-pragmas"}

// compile makes objects of all files, at the same time, and a library of these.
func compile(compiler, dir string, files []file, library string) error {
	headers := ""
	for _, f := range files {
		if strings.HasSuffix(f.name, ".h") {
			headers += f.text
		}
	}
	var running []*exec.Cmd
	link, made := []string{"-shared", "-o", library}, map[string]string{}
	for _, f := range files {
		if !strings.HasSuffix(f.name, ".cpp") {
			continue
		}
		h := sha256.Sum256([]byte(fmt.Sprint(compiler, flags, headers, f.name, f.text)))
		object := filepath.Join(os.TempDir(), "psld-cuda-emulator-"+hex.EncodeToString(h[:])[:16]+".o")
		link = append(link, object)
		if _, err := os.Stat(object); err == nil {
			continue
		}
		made[filepath.Join(dir, f.name+".o")] = object
		cmd := exec.Command(compiler, append(flags, "-c", "-o", f.name+".o", f.name)...)
		if f.name == "driver.cpp" {
			cmd.Args = append(cmd.Args, "-fvisibility=default")
		}
		cmd.Dir = dir
		cmd.Stderr = new(strings.Builder)
		if err := cmd.Start(); err != nil {
			return err
		}
		running = append(running, cmd)
	}
	var all error
	for _, cmd := range running {
		if err := cmd.Wait(); err != nil {
			all = errors.Join(all, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, cmd.Stderr))
		}
	}
	for from, to := range made {
		if all == nil {
			all = os.Rename(from, to)
		}
	}
	if all != nil {
		return all
	}
	if out, err := exec.Command(compiler, link...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", compiler, err, out)
	}
	return nil
}

// Use has tensor/cuda open the emulated driver in this process: it is for the tests of packages that compute on a
// device. The error is ErrNoCompiler where there is no compiler, and such tests are skipped.
func Use() error {
	path, err := Build()
	if err != nil {
		return err
	}
	return errors.Join(os.Setenv("PSLD_CUDA_DRIVER", path), os.Setenv("PSLD_NVRTC", "none"),
		os.Setenv("PSLD_CUBLASLT", "none"))
}
