//go:build cuda

package cuda

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"psld/internal/dynlib"
)

// blas is NVIDIA's library of matrix products, cuBLASLt, which is opened at run time where it is installed. Linear
// layers and windows of one pixel are products of it; other convolutions gather their factors while they multiply,
// which it cannot.
type blas struct {
	create, destroy                                                       uintptr
	descCreate, descSet, descDestroy, layoutCreate, layoutDestroy         uintptr
	preferenceCreate, preferenceSet, preferenceDestroy, heuristic, matmul uintptr

	handle uintptr
	plans  []plan // of all shapes that were asked for
	of     map[shape]int
	// What a call reads: alpha and beta.
	one, zero float32
	from      int // multiply-adds from which on it is used
}

// shape is a product C[m,n] = A B of k terms, in rows, of which A or B is read in columns.
type shape struct {
	sides
	turnA, turnB bool
	kind         string // of both factors: Precisions
}

// plan is how the library multiplies a shape.
type plan struct {
	desc, a, b, c uintptr
	algorithm     [8]uint64
	workspace     int64
	ok            bool // false: it does not
}

// mostWorkspace is the memory that a product may take beside its factors, in bytes.
const mostWorkspace = 32 << 20

// blasLibrary is nil where there is no library, or PSLD_CUBLASLT=none.
func blasLibrary() *dynlib.Library {
	names := []string{"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so.11"}
	if runtime.GOOS == "windows" {
		names = []string{"cublasLt64_13.dll", "cublasLt64_12.dll", "cublasLt64_11.dll"}
	}
	if name := os.Getenv("PSLD_CUBLASLT"); name != "" {
		names = []string{name}
	}
	if names[0] == "none" {
		return nil
	}
	lib, err := dynlib.Open(names...)
	if err != nil {
		return nil
	}
	return lib
}

// openBlas gives nil where there is no library that can be used.
func openBlas() *blas {
	lib := blasLibrary()
	if lib == nil {
		return nil
	}
	var err error
	b := &blas{of: map[shape]int{}, one: 1, from: leastWork}
	for name, f := range map[string]*uintptr{"Create": &b.create, "Destroy": &b.destroy,
		"MatmulDescCreate": &b.descCreate, "MatmulDescSetAttribute": &b.descSet, "MatmulDescDestroy": &b.descDestroy,
		"MatrixLayoutCreate": &b.layoutCreate, "MatrixLayoutDestroy": &b.layoutDestroy,
		"MatmulPreferenceCreate": &b.preferenceCreate, "MatmulPreferenceSetAttribute": &b.preferenceSet,
		"MatmulPreferenceDestroy": &b.preferenceDestroy, "MatmulAlgoGetHeuristic": &b.heuristic,
		"Matmul": &b.matmul} {
		if *f, err = lib.Find("cublasLt" + name); err != nil {
			return nil
		}
	}
	if !done(b.create, uintptr(unsafe.Pointer(&b.handle))) {
		return nil
	}
	return b
}

// close gives all back that the library holds.
func (b *blas) close() {
	if b == nil {
		return
	}
	for _, p := range b.plans {
		b.discard(p)
	}
	dynlib.Call(b.destroy, b.handle)
}

func (b *blas) discard(p plan) {
	for _, layout := range []uintptr{p.a, p.b, p.c} {
		if layout != 0 {
			dynlib.Call(b.layoutDestroy, layout)
		}
	}
	if p.desc != 0 {
		dynlib.Call(b.descDestroy, p.desc)
	}
}

// plan finds how to multiply a shape; false where the library cannot.
func (b *blas) plan(s shape) (number int, ok bool) {
	number, known := b.of[s]
	if !known {
		p := b.newPlan(s)
		if !p.ok {
			b.discard(p)
			p = plan{}
		}
		number = len(b.plans)
		b.of[s], b.plans = number, append(b.plans, p)
	}
	return number, b.plans[number].ok
}

// done calls a function of the library and tells whether it did what it should. Pointers among the arguments stay
// where they are, as for [dynlib.Call].
//
//go:uintptrescapes
func done(f uintptr, args ...uintptr) bool { return int32(dynlib.Call(f, args...)) == 0 }

// newPlan asks the library. It sees matrices in columns, so that the rows C = A B are its columns C' = B' A'.
func (b *blas) newPlan(s shape) (p plan) {
	const sums, tf32Sums, float, turnFirst, turnSecond = 68, 77, 0, 3, 4
	compute, kind := uintptr(sums), map[string]uintptr{"f32": float, "tf32": float, "bf16": 14, "f16": 2}[s.kind]
	if s.kind == "tf32" {
		compute = tf32Sums
	}
	turn := [2]int32{}
	if s.turnB {
		turn[0] = 1
	}
	if s.turnA {
		turn[1] = 1
	}
	side := func(turned bool, rows, columns int) (uintptr, uintptr) { // of a matrix in columns
		if turned {
			return uintptr(columns), uintptr(rows)
		}
		return uintptr(rows), uintptr(columns)
	}
	bRows, bColumns := side(s.turnB, s.n, s.k)
	aRows, aColumns := side(s.turnA, s.k, s.m)
	if !done(b.descCreate, uintptr(unsafe.Pointer(&p.desc)), compute, float) ||
		!done(b.descSet, p.desc, turnFirst, uintptr(unsafe.Pointer(&turn[0])), 4) ||
		!done(b.descSet, p.desc, turnSecond, uintptr(unsafe.Pointer(&turn[1])), 4) ||
		!done(b.layoutCreate, uintptr(unsafe.Pointer(&p.b)), kind, bRows, bColumns, bRows) ||
		!done(b.layoutCreate, uintptr(unsafe.Pointer(&p.a)), kind, aRows, aColumns, aRows) ||
		!done(b.layoutCreate, uintptr(unsafe.Pointer(&p.c)), float, uintptr(s.n), uintptr(s.m), uintptr(s.n)) {
		return p
	}
	var preference uintptr
	if !done(b.preferenceCreate, uintptr(unsafe.Pointer(&preference))) {
		return p
	}
	defer dynlib.Call(b.preferenceDestroy, preference)
	most, found := uint64(mostWorkspace), int32(0)
	var result struct { // cublasLtMatmulHeuristicResult_t
		algorithm [8]uint64
		workspace uint64
		state     int32
		_         [5]int32
	}
	const maxWorkspace = 1
	if !done(b.preferenceSet, preference, maxWorkspace, uintptr(unsafe.Pointer(&most)), 8) ||
		!done(b.heuristic, b.handle, p.desc, p.b, p.a, p.c, p.c, preference, 1, uintptr(unsafe.Pointer(&result)),
			uintptr(unsafe.Pointer(&found))) || found < 1 || result.state != 0 || result.workspace > most {
		return p
	}
	p.algorithm, p.workspace, p.ok = result.algorithm, int64(result.workspace), true
	return p
}

// issue calls the library for a job: a plan and the addresses of A, B, C and the workspace.
func (b *blas) issue(g *gpu, job []uint64) *Error {
	p := &b.plans[job[0]]
	code := int(int32(dynlib.Call(b.matmul, b.handle, p.desc, uintptr(unsafe.Pointer(&b.one)), uintptr(job[2]), p.b,
		uintptr(job[1]), p.a, uintptr(unsafe.Pointer(&b.zero)), uintptr(job[3]), p.c, uintptr(job[3]), p.c,
		uintptr(unsafe.Pointer(&p.algorithm)), uintptr(job[4]), uintptr(p.workspace), g.stream)))
	if code == 0 {
		return nil
	}
	return &Error{"cublasLtMatmul", code, fmt.Sprintf("status %d of cuBLAS", code)}
}

// leastWork is the number of multiply-adds from which on the library is worth what its call takes.
const leastWork = 1 << 20

// planOf finds how cuBLASLt multiplies a shape; false where it does not, or should not.
func (d *device) planOf(s shape) (number int, ok bool) {
	if d.blas == nil || s.m*s.n*s.k < d.blas.from || s.n%8 != 0 || s.turnA && s.m%8 != 0 || !s.turnA && s.k%8 != 0 {
		return 0, false
	}
	return d.blas.plan(s)
}

// multiply does a product C[m,n] = A B by cuBLASLt, with what follows it, and tells whether it could. A is float32;
// its copy in halves is made where B has these.
func (d *device) multiply(a, b uint64, s shape, e *finish, end ending) bool {
	number, ok := d.planOf(s)
	if !ok {
		return false
	}
	if s.kind == "bf16" || s.kind == "f16" {
		halves := d.scratch(2 * int64(s.m*s.k))
		d.each(s.kind+"From", s.m*s.k, at(halves), at(a))
		a = halves
	}
	c, alone := e.y, e.bias == 0 && e.add == 0 && e.scale == 1 && e.gated == 0 && e.f == 0
	if !alone {
		c = d.scratch(4 * int64(s.m*s.n))
	}
	work := d.scratch(max(d.blas.plans[number].workspace, 1))
	d.queue.text = append(d.queue.text, productJob, uint64(number), a, b, c, work)
	d.queued()
	if !alone {
		end(c, 1)
	}
	return true
}
