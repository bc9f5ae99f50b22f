package server

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"psld/psld/client"
	"psld/psld/param"
)

// serverFolder is the variable by which TestAsServer runs a server in a process of its own, on that folder.
const serverFolder = "PSLD_TEST_SERVER_FOLDER"

func TestAsServer(t *testing.T) {
	dir := os.Getenv(serverFolder)
	if dir == "" {
		return
	}
	saveEvery = 10 * time.Millisecond
	s, err := New(tiny(dir))
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	fmt.Printf("http://%s\n", l.Addr())
	require.NoError(t, s.Serve(context.Background(), l))
}

// process starts such a server and returns its address and what kills it without any warning.
func process(t *testing.T, dir string) (url string, kill func()) {
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self, "-test.run=^TestAsServer$")
	cmd.Env = append(os.Environ(), serverFolder+"="+dir)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	kill = func() {
		_ = cmd.Process.Kill()
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
	}
	t.Cleanup(kill)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "http://") {
			return lines.Text(), kill
		}
	}
	t.Fatal("the server did not start")
	return "", nil
}

// TestKilled: what a server was about when it was killed goes on at the next start, to the bits of a run without a
// break; what was finished is there, what waited still waits.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	url, kill := process(t, dir)
	c := &client.Client{URL: url}
	steps := client.JobOptions{Task: "denoise", Method: "psld", Seed: 3, Params: param.Values{"steps": 60}}
	create := creating(t, c)
	finished := create(quick(1))
	_, err := c.Wait(t.Context(), finished.ID, nil)
	require.NoError(t, err)
	broken, waiting := create(steps), create(steps)
	state := filepath.Join(dir, broken.ID, stateName(0))
	require.Eventually(t, func() bool { return has(state) }, 60*time.Second, time.Millisecond)
	kill()
	_, err = c.Job(t.Context(), broken.ID)
	require.Error(t, err)

	url, _ = process(t, dir)
	c = &client.Client{URL: url}
	var results [2]bytes.Buffer
	for i, j := range []*client.Job{broken, waiting} {
		j, err = c.Wait(t.Context(), j.ID, nil)
		require.NoError(t, err)
		require.Equal(t, client.Done, j.State, j.Error)
		require.NoError(t, c.Picture(t.Context(), &results[i], j.ID, "result", 0))
	}
	require.Equal(t, results[1].Bytes(), results[0].Bytes())
	require.NoError(t, c.Picture(t.Context(), io.Discard, finished.ID, "result", 0))
}

// A result that cannot be written fails its job, in words without this machine's folders, and no other one.
func TestCannotStore(t *testing.T) {
	o := tiny(t.TempDir())
	s, c := serving(t, o)
	create := creating(t, c)
	first := create(long)
	require.Eventually(t, func() bool { return s.health().Running == 1 }, 20*time.Second, time.Millisecond)
	second, third := create(quick(1)), create(quick(1))
	require.NoError(t, os.Mkdir(filepath.Join(o.Data, second.ID, resultName(0)), 0o700)) // in the result's place
	_, err := c.Cancel(t.Context(), first.ID)
	require.NoError(t, err)
	second, err = c.Wait(t.Context(), second.ID, nil)
	require.NoError(t, err)
	require.Equal(t, client.Failed, second.State)
	require.NotContains(t, second.Error, o.Data)
	require.Contains(t, second.Error, "cannot be stored")
	third, err = c.Wait(t.Context(), third.ID, nil)
	require.NoError(t, err)
	require.Equal(t, client.Done, third.State, third.Error)
}
