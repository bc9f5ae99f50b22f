// Package cuda is the device of NVIDIA's GPUs, in programs that are built with the tag "cuda"; without it the
// package is empty. It opens CUDA's driver at run time (libcuda.so.1 or nvcuda.dll), without cgo, and needs nothing
// else: the kernels (package kernels) are in the program, as CUDA C and as PTX, which the driver compiles. Where
// NVRTC is installed that compiles the sources for the GPU at hand, once: the result is kept in the user's cache.
//
// A GPU computes on one stream, in the order in which operations were asked for. Memory comes from an allocator of
// its own, whose blocks may be used again at once, since all that reads them comes before on the stream.
//
// The variable PSLD_CUDA_DRIVER names another library with the driver's entry points. Package emulator builds one that
// runs the kernels on the processor, for tests.
package cuda
