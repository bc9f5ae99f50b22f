//go:build !linux || !amd64

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "amxemu: works on Linux on x86-64 only")
	os.Exit(77)
}
