// Package kernels holds the kernels of tensor/cuda: CUDA C, and the PTX that it compiles to. It is data only.
package kernels

import (
	"embed"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// NVRTC is the version of the compiler that made the PTX, as its package on PyPI (nvidia-cuda-nvrtc-cu12) names it.
const NVRTC = "12.9.86"

//go:embed *.cuh *.cu
var sources embed.FS

//go:embed ptx
var compiled embed.FS

// Module is a file of kernels.
type Module struct {
	Name       string // of its file, without the end
	Source     string // all of it: what is shared by all files, and its own text with what it includes
	Kernels    []string
	Capability int // compute capability of the first GPUs that it is for, e.g. 75 for 7.5
}

// names finds kernels in a text, also behind the macros that define several (see expand).
var names = regexp.MustCompile(`(?m)^\s*KERNEL\s+(?:__launch_bounds__\([\w, ]+\)\s+)?(\w+(?:##\w+)?)\(`)

// capability is the line of a file that is for newer GPUs.
var capability = regexp.MustCompile(`(?m)^// capability (\d+)$`)

// include is a line that brings in what several files share.
var include = regexp.MustCompile(`(?m)^#include "(\w+\.cuh)"$`)

// Modules are all files, in the order of their names.
func Modules() []Module {
	entries, err := sources.ReadDir(".")
	if err != nil {
		panic(err)
	}
	var list []Module
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".cu")
		if !ok {
			continue
		}
		own := read(sources, e.Name())
		text := include.ReplaceAllStringFunc(own, func(line string) string {
			return read(sources, include.FindStringSubmatch(line)[1])
		})
		m := Module{Name: name, Capability: 75, Source: read(sources, "common.cuh") + text}
		if match := capability.FindStringSubmatch(own); match != nil {
			m.Capability, _ = strconv.Atoi(match[1])
		}
		for _, match := range names.FindAllStringSubmatch(text, -1) {
			m.Kernels = append(m.Kernels, expand(text, match[1])...)
		}
		list = append(list, m)
	}
	return list
}

// uses finds the places where a macro that defines kernels is used.
var uses = regexp.MustCompile(`(?m)^(TILES|HEADS)\((\w+)`)

// expand gives the names that a definition inside a macro stands for: NAME##128 or attend##D.
func expand(text, name string) (list []string) {
	left, right, ok := strings.Cut(name, "##")
	if !ok {
		return []string{name}
	}
	for _, use := range uses.FindAllStringSubmatch(text, -1) {
		if left == "NAME" {
			list = append(list, use[2]+right)
		} else {
			list = append(list, left+use[2])
		}
	}
	return list
}

// PTX is the compiled form of a module, for GPUs from its capability on, or "" where there is none.
func PTX(module string) string {
	data, err := compiled.ReadFile(path.Join("ptx", module+".ptx"))
	if err != nil {
		return ""
	}
	return string(data)
}

func read(files embed.FS, name string) string {
	data, err := files.ReadFile(name)
	if err != nil {
		panic(err)
	}
	return string(data)
}
