// Package deploy_test runs the job files of this folder.
package deploy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"psld/psld/picture"
)

// TestSlurm: an evaluation by slurm.sh, on a Slurm of its own with two workers on this machine, of which one is killed
// in the middle, loses nothing, and gives the numbers of one process.
func TestSlurm(t *testing.T) {
	for _, name := range []string{"slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("no Slurm: %v (Debian's package slurm-wlm has it)", err)
		}
	}
	if testing.Short() {
		t.Skip("it takes some seconds")
	}
	dir := t.TempDir()
	psld := filepath.Join(dir, "psld")
	command(t, "go", "build", "-o", psld, "../cmd/psld")
	photos := filepath.Join(dir, "photos")
	require.NoError(t, os.Mkdir(photos, 0o755))
	for i := range 8 {
		p := picture.New(32, 32)
		for k := range p.Pix {
			p.Pix[k] = float32((k*(i+3))%97)/48 - 1
		}
		require.NoError(t, picture.Save(filepath.Join(photos, fmt.Sprintf("%d.png", i)), p))
	}
	args := []string{"--data", photos, "--n", "0", "--size", "32", "--tasks", "denoise,sr4", "--methods", "tv,psld",
		"--steps", "15", "--threads", "1"}
	command(t, psld, append([]string{"eval", "--out", filepath.Join(dir, "one")}, args...)...)

	t.Log("one process is done")
	startSlurm(t, dir)
	t.Log("Slurm is there")
	parts := filepath.Join(dir, "parts")
	script, err := filepath.Abs("slurm.sh")
	require.NoError(t, err)
	t.Setenv("PSLD", psld)
	command(t, "sbatch", append([]string{"--array=0-1", "--cpus-per-task=1", "--mem=0", "--time=10",
		"--output=" + filepath.Join(dir, "log-%a"), script, "--out", parts}, args...)...)
	first := filepath.Join(parts, "cells-1-of-2.jsonl")
	cells := func() int {
		text, _ := os.ReadFile(first)
		return bytes.Count(text, []byte("\n")) - 1
	}
	said := func() string { return logs(dir) }
	wait(t, "the first cells", said, func() bool { return cells() >= 2 })
	require.Less(t, cells(), 24, "the first task is done too soon to be killed")
	killTask(t, psld, "0")
	t.Log("killed")
	kept := cells()
	wait(t, "the end of the jobs", said, func() bool {
		return strings.TrimSpace(command(t, "squeue", "--noheader")) == ""
	})
	require.Contains(t, said(), "was killed (try 1)")
	require.Contains(t, said(), " are finished")
	require.GreaterOrEqual(t, cells(), kept)
	command(t, psld, "eval", "merge", "--out", parts)
	require.Equal(t, rows(t, filepath.Join(dir, "one")), rows(t, parts))
}

// TestKubernetes: the Job is indexed, and tells psld as many parts as there are pods.
func TestKubernetes(t *testing.T) {
	text, err := os.ReadFile("kubernetes.yaml")
	require.NoError(t, err)
	var job struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string
		Spec       struct {
			CompletionMode string `yaml:"completionMode"`
			Completions    int
			Template       struct {
				Spec struct {
					Containers []struct {
						Command []string
						Env     []struct{ Name, Value string }
					}
				}
			}
		}
	}
	require.NoError(t, yaml.Unmarshal(text, &job))
	require.Equal(t, []string{"batch/v1", "Job", "Indexed"}, []string{job.APIVersion, job.Kind, job.Spec.CompletionMode})
	c := job.Spec.Template.Spec.Containers[0]
	require.Equal(t, []string{"psld", "eval", "--shard", "auto"}, c.Command[:4])
	require.Equal(t, "PSLD_SHARDS", c.Env[0].Name)
	require.Equal(t, strconv.Itoa(job.Spec.Completions), c.Env[0].Value)
}

// startSlurm starts the two daemons of Slurm in the folder, as this user, with ports of their own and no cryptography.
func startSlurm(t *testing.T, dir string) {
	host, err := os.Hostname()
	require.NoError(t, err)
	host, _, _ = strings.Cut(host, ".")
	me, err := user.Current()
	require.NoError(t, err)
	conf := filepath.Join(dir, "slurm.conf")
	require.NoError(t, os.WriteFile(conf, []byte(fmt.Sprintf(`ClusterName=test
SlurmctldHost=%[1]s(127.0.0.1)
SlurmUser=%[2]s
SlurmdUser=%[2]s
SlurmctldPort=%[3]d
SlurmdPort=%[4]d
AuthType=auth/none
CredType=cred/none
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
StateSaveLocation=%[5]s/state
SlurmdSpoolDir=%[5]s/spool
SlurmctldPidFile=%[5]s/slurmctld.pid
SlurmdPidFile=%[5]s/slurmd.pid
ReturnToService=2
MpiDefault=none
KillWait=2
SchedulerParameters=batch_sched_delay=0,sched_interval=2
NodeName=%[1]s NodeAddr=127.0.0.1 CPUs=2
PartitionName=all Nodes=%[1]s Default=YES MaxTime=60 State=UP
`, host, me.Username, port(t), port(t), dir)), 0o600))
	for _, name := range []string{"state", "spool"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o700))
	}
	t.Setenv("SLURM_CONF", conf)
	for _, name := range []string{"slurmctld", "slurmd"} {
		log, err := os.Create(filepath.Join(dir, "log-"+name))
		require.NoError(t, err)
		daemon := exec.Command(name, "-D")
		daemon.Stdout, daemon.Stderr = log, log
		require.NoError(t, daemon.Start())
		t.Cleanup(func() {
			_ = daemon.Process.Signal(syscall.SIGTERM)
			_ = daemon.Wait()
			_ = log.Close()
		})
	}
	wait(t, "an idle node", func() string { return logs(dir) }, func() bool {
		out, err := exec.Command("sinfo", "--noheader", "--format=%T").Output()
		return err == nil && strings.TrimSpace(string(out)) == "idle"
	})
}

// killTask kills psld in a task of the array, as the kernel does where memory is short.
func killTask(t *testing.T, psld, index string) {
	entries, err := os.ReadDir("/proc")
	require.NoError(t, err)
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		exe, _ := os.Readlink(filepath.Join("/proc", e.Name(), "exe"))
		env, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if exe == psld && bytes.Contains(env, []byte("SLURM_ARRAY_TASK_ID="+index+"\x00")) {
			require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
			return
		}
	}
	t.Fatal("psld does not run")
}

func command(t *testing.T, name string, args ...string) string {
	out, err := exec.Command(name, args...).CombinedOutput()
	require.NoError(t, err, "%s %v: %s", name, args, out)
	return string(out)
}

// port is one that nobody listens on.
func port(t *testing.T) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// wait waits until it is done; a minute or two is much more than it takes.
func wait(t *testing.T, what string, said func() string, done func() bool) {
	for range 1800 {
		if done() {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("%s did not come: %s", what, said())
}

func logs(dir string) (text string) {
	paths, _ := filepath.Glob(filepath.Join(dir, "log-*"))
	for _, path := range paths {
		b, _ := os.ReadFile(path)
		text += filepath.Base(path) + ":\n" + string(b)
	}
	return text
}

// rows are those of table.json, without times and memory.
func rows(t *testing.T, dir string) []map[string]any {
	b, err := os.ReadFile(filepath.Join(dir, "table.json"))
	require.NoError(t, err)
	var table struct{ Rows []map[string]any }
	require.NoError(t, json.Unmarshal(b, &table))
	for _, row := range table.Rows {
		delete(row, "Seconds")
		delete(row, "Bytes")
	}
	require.Len(t, table.Rows, 6)
	return table.Rows
}
