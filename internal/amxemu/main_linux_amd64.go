package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// skipped is the exit status where the system does not allow tracing.
const skipped = 77

func main() {
	check := flag.Bool("check", false, "run nothing, only try whether tracing is allowed")
	flag.Usage = func() { fmt.Fprintln(os.Stderr, "usage: amxemu PROGRAM [ARGUMENT...] | amxemu -check") }
	flag.Parse()
	args := flag.Args()
	if *check {
		args = []string{os.Args[0], "-check=false"} // the usage message, and status 2
	}
	if len(args) == 0 {
		flag.Usage()
		os.Exit(2)
	}
	files := []*os.File{os.Stdin, os.Stdout, os.Stderr}
	if *check {
		files = []*os.File{nil, nil, nil}
	}
	status, err := run(args, append(os.Environ(), "PSLD_AMX_EMULATED=1"), files)
	if err != nil {
		fmt.Fprintln(os.Stderr, "amxemu:", err)
	} else if *check {
		status = 0
	}
	os.Exit(status)
}

// run traces a program until it ends and returns its exit status.
func run(args, env []string, files []*os.File) (status int, err error) {
	path, err := exec.LookPath(args[0])
	if err != nil {
		return 127, err
	}
	runtime.LockOSThread() // the tracer is a thread, not a process
	defer runtime.UnlockOSThread()
	p, err := os.StartProcess(path, args, &os.ProcAttr{Env: env, Files: files, Sys: &unix.SysProcAttr{Ptrace: true}})
	if err != nil {
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENOSYS) {
			return skipped, fmt.Errorf("tracing is not allowed here: %w", err)
		}
		return 127, err
	}
	t := &tracer{pid: p.Pid, threads: map[int]*tiles{}, calls: true}
	return t.loop()
}

// tracer follows all threads of one process.
type tracer struct {
	pid     int
	threads map[int]*tiles
	calls   bool // stop at system calls: until the permission was asked for
}

func (t *tracer) loop() (int, error) {
	var ws unix.WaitStatus
	if _, err := unix.Wait4(t.pid, &ws, 0, nil); err != nil {
		return 1, fmt.Errorf("wait: %w", err)
	}
	const options = unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_EXITKILL
	if err := unix.PtraceSetOptions(t.pid, options); err != nil {
		return skipped, fmt.Errorf("tracing is not allowed here: %w", err)
	}
	t.threads[t.pid] = new(tiles)
	t.resume(t.pid, 0)
	for {
		tid, err := unix.Wait4(-1, &ws, unix.WALL, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 1, fmt.Errorf("wait: %w", err)
		case ws.Exited() || ws.Signaled():
			delete(t.threads, tid)
			if tid == t.pid {
				if ws.Signaled() {
					return 128 + int(ws.Signal()), nil
				}
				return ws.ExitStatus(), nil
			}
		case ws.Stopped():
			t.resume(tid, t.stopped(tid, ws))
		}
	}
}

// resume lets a thread go on, with a signal or 0. It may have been killed meanwhile: no error.
func (t *tracer) resume(tid, signal int) {
	if t.calls {
		_ = unix.PtraceSyscall(tid, signal)
	} else {
		_ = unix.PtraceCont(tid, signal)
	}
}

// stopped handles one stop of a thread and returns the signal that it shall get.
func (t *tracer) stopped(tid int, ws unix.WaitStatus) (signal int) {
	if t.threads[tid] == nil { // a new thread starts with a SIGSTOP of the tracer's
		t.threads[tid] = new(tiles)
		if ws.StopSignal() == unix.SIGSTOP {
			return 0
		}
	}
	switch s := ws.StopSignal(); s {
	case unix.SIGTRAP:
		if ws.TrapCause() > 0 { // a new thread
			return 0
		}
		return int(s)
	case unix.SIGTRAP | 0x80:
		t.call(tid)
		return 0
	case unix.SIGILL:
		if t.emulate(tid) {
			return 0
		}
		return int(s)
	default:
		return int(s)
	}
}

// call answers arch_prctl(ARCH_REQ_XCOMP_PERM, ...) with 0 at its end.
func (t *tracer) call(tid int) {
	const reqXCompPerm = 0x1023
	var regs unix.PtraceRegs
	if unix.PtraceGetRegs(tid, &regs) != nil || regs.Orig_rax != unix.SYS_ARCH_PRCTL || regs.Rdi != reqXCompPerm {
		return
	}
	if int64(regs.Rax) == -int64(unix.ENOSYS) { // at its start
		return
	}
	regs.Rax = 0
	if err := unix.PtraceSetRegs(tid, &regs); err != nil {
		fmt.Fprintln(os.Stderr, "amxemu: no answer to arch_prctl:", err)
		return
	}
	t.calls = false
}

// emulate does the AMX instructions at which the thread stands. It is false when there is none, or one
// that faults.
func (t *tracer) emulate(tid int) bool {
	var regs unix.PtraceRegs
	if unix.PtraceGetRegs(tid, &regs) != nil {
		return false
	}
	var code [256]byte // several instructions mostly stand in a row
	n := t.readCode(uintptr(regs.Rip), code[:])
	done := 0
	for {
		in, ok := decode(code[done:n])
		if !ok {
			break
		}
		if err := t.execute(t.threads[tid], in, &regs); err != nil {
			fmt.Fprintf(os.Stderr, "amxemu: at %#x: %v\n", regs.Rip+uint64(done), err)
			return false
		}
		done += in.length
	}
	if done == 0 {
		return false
	}
	regs.Rip += uint64(done)
	return unix.PtraceSetRegs(tid, &regs) == nil
}

// execute changes tiles and memory; addresses come from registers only, which AMX never changes.
func (t *tracer) execute(s *tiles, in instruction, r *unix.PtraceRegs) error {
	registers := [16]uint64{r.Rax, r.Rcx, r.Rdx, r.Rbx, r.Rsp, r.Rbp, r.Rsi, r.Rdi, r.R8, r.R9, r.R10, r.R11, r.R12,
		r.R13, r.R14, r.R15}
	var address, stride uintptr
	if in.base >= 0 {
		address = uintptr(registers[in.base]) + uintptr(in.disp)
	}
	if in.index >= 0 {
		stride = uintptr(registers[in.index]) * uintptr(in.scale)
	}
	switch in.op {
	case ldTileCfg:
		var cfg [64]byte
		if err := t.move(false, address, 0, [][]byte{cfg[:]}); err != nil {
			return err
		}
		return s.configure(&cfg)
	case stTileCfg:
		cfg := s.configuration()
		return t.move(true, address, 0, [][]byte{cfg[:]})
	case tileRelease:
		*s = tiles{}
		return nil
	case tdpBF16:
		return s.tdpBF16(in.dst, in.a, in.b)
	}
	if err := s.usable(in.dst); err != nil {
		return err
	}
	if in.op == tileStore {
		return t.move(true, address, stride, s.lines(in.dst))
	}
	s.data[in.dst] = [16][64]byte{}
	if in.op == tileZero {
		return nil
	}
	return t.move(false, address, stride, s.lines(in.dst))
}

// lines are the configured parts of a tile's rows.
func (t *tiles) lines(i int) [][]byte {
	l := make([][]byte, t.rows[i])
	for r := range l {
		l[r] = t.data[i][r][:t.colsb[i]]
	}
	return l
}

// move copies lines from or to the traced process, where they lie stride bytes apart.
func (t *tracer) move(write bool, address, stride uintptr, lines [][]byte) error {
	local, remote := make([]unix.Iovec, len(lines)), make([]unix.RemoteIovec, len(lines))
	total := 0
	for i, l := range lines {
		local[i] = unix.Iovec{Base: &l[0], Len: uint64(len(l))}
		remote[i] = unix.RemoteIovec{Base: address + uintptr(i)*stride, Len: len(l)}
		total += len(l)
	}
	transfer := unix.ProcessVMReadv
	if write {
		transfer = unix.ProcessVMWritev
	}
	n, err := transfer(t.pid, local, remote, 0)
	if err == nil && n != total {
		err = unix.EFAULT
	}
	if err != nil {
		return fmt.Errorf("%d rows at %#x, %#x apart: %w", len(lines), address, stride, err)
	}
	return nil
}

// readCode reads up to len(b) bytes, as far as memory goes.
func (t *tracer) readCode(address uintptr, b []byte) int {
	n := len(b)
	if page := 4096 - int(address%4096); page < n {
		if t.move(false, address, 0, [][]byte{b}) == nil {
			return n
		}
		n = page
	}
	if t.move(false, address, 0, [][]byte{b[:n]}) != nil {
		return 0
	}
	return n
}
