package emulator

import (
	"errors"
	"os"
	"testing"
)

// TestBuild: the second time it is there already.
func TestBuild(t *testing.T) {
	path, err := Build()
	if errors.Is(err, ErrNoCompiler) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Build()
	if err != nil || again != path {
		t.Fatal(again, err)
	}
	if after, err := os.Stat(path); err != nil || after.ModTime() != before.ModTime() {
		t.Fatal("built twice", err)
	}
}
