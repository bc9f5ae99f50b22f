package deploy_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRelease: the archive of this system has a program that names its version and commit, and checksums that hold.
func TestRelease(t *testing.T) {
	if !strings.Contains(os.Getenv("GOFLAGS"), "-trimpath") {
		t.Skip("the program of a release is compiled with -trimpath, all of it anew: GOFLAGS=-trimpath go test ./deploy")
	}
	if runtime.GOOS == "windows" {
		t.Skip("no bash")
	}
	dir := t.TempDir()
	t.Setenv("PSLD_TARGETS", runtime.GOOS+"/"+runtime.GOARCH)
	command(t, "bash", "release.sh", "1.2.3-test", dir)
	name := "psld-1.2.3-test-" + runtime.GOOS + "-" + runtime.GOARCH
	command(t, "tar", "-C", dir, "-xzf", filepath.Join(dir, name+".tar.gz"))
	version := command(t, filepath.Join(dir, name, "psld"), "version")
	require.Contains(t, version, "psld 1.2.3-test "+strings.TrimSpace(command(t, "git", "rev-parse", "HEAD")))
	for _, file := range []string{"LICENSE", "NOTICE", "README.md"} {
		require.FileExists(t, filepath.Join(dir, name, file))
	}
	t.Chdir(dir)
	sums, err := os.ReadFile("SHA256SUMS")
	require.NoError(t, err)
	require.Contains(t, string(sums), name+".tar.gz")
	command(t, "sha256sum", "--check", "SHA256SUMS")
}
