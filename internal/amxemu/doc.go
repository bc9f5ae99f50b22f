// Command amxemu runs a program whose AMX instructions it emulates, so that the AMX kernels of package
// asm can be tested on a Linux machine (x86-64 with AVX-512) that has none:
//
//	go build -o /tmp/amxemu ./internal/amxemu
//	PSLD_KERNELS=amx go test -exec /tmp/amxemu ./asm ./tensor
//
// It traces the program (ptrace). Where the processor refuses an instruction with SIGILL, amxemu does what
// Intel's manual says for it (Software Developer's Manual, volume 2) and goes on behind it; each thread has tiles of
// its own. The first request for the permission to use tiles, arch_prctl(ARCH_REQ_XCOMP_PERM), is answered with yes.
// All other signals and calls go their way. CPUID cannot be caught: instead the program finds PSLD_AMX_EMULATED=1 in
// its environment. Package asm reads that as "ask for the permission although CPUID shows no AMX"; without amxemu the
// kernel says no, so the variable alone never leads to an instruction that does not exist.
//
// The exit status is the program's, 128 + the number of a signal that killed it, or 77 where the system does not
// allow tracing, which callers take for "skipped". With -check it traces nothing but tries whether it could.
//
// An emulated instruction takes about 10 us. What emulation cannot show: speed, and that the kernel
// saves tiles in signal frames.
package main
