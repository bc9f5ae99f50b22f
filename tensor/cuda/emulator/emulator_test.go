package emulator

import "testing"

func TestBuild(t *testing.T) {
	path, err := Build()
	if err == ErrNoCompiler {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Log(path)
}
