// A library with the entry points of CUDA's driver that tensor/cuda opens, whose GPU is the processor: memory is the
// host's, kernels run as fibers, and what is queued on a stream runs when somebody waits for it. The functions that
// begin with fake are for tests: they let calls fail and tell what is still held.
#include "emulator.h"
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace emulator {
void grid(const Kernel* k, Dim blocks, Dim threads, const void* kept, bool backwards);
}

namespace {
const int OK = 0, INVALID = 1, NO_MEMORY = 2, NOT_READY = 3, NO_DEVICE = 100, BAD_DEVICE = 101, NOT_FOUND = 500;
const size_t guard = 256;
typedef unsigned long long Pointer;

typedef std::vector<std::function<void()>> Work;
Work queue;      // of the one stream
Work* capturing; // takes its place while a graph is made
std::map<Pointer, size_t> allocations, pinned;
std::map<std::string, std::pair<int, int>> failures; // name: calls until then, result
std::map<void*, std::string> modules;
long long inUse, peak, total = 8ll << 30, launches, broken, objects, copies, compiles, graphs, products;
int devices = 1, capability = 90, version = 12040, backwards, sticky;
bool current; // has the thread a context

int called(const char* name) {
    if (sticky) return sticky;
    auto f = failures.find(name);
    if (f == failures.end() || --f->second.first > 0) return OK;
    int result = f->second.second;
    failures.erase(f);
    if (result == 700 || result == 719 || result == 999) sticky = result; // the context is lost
    return result;
}
const int NOT_IN_CAPTURE = 900;
#define CALLED(needsContext)                                                                                       \
    if (int r = called(__func__)) return r;                                                                        \
    if (needsContext && !current) return 201

void push(std::function<void()> f) { (capturing ? *capturing : queue).push_back(std::move(f)); }
void drain() {
    auto work = std::move(queue);
    queue.clear();
    for (auto& f : work) f();
}
bool inside(Pointer p, size_t bytes) {
    auto a = allocations.upper_bound(p);
    return a != allocations.begin() && (--a, p + bytes <= a->first + a->second);
}
uint32_t* guardWord(Pointer p, long long offset) { return (uint32_t*)(p + offset); }
} // namespace

extern "C" {
void fakeReset() {
    delete capturing;
    capturing = nullptr;
    drain();
    failures.clear();
    devices = 1, capability = 90, version = 12040, backwards = 0, sticky = 0, total = 8ll << 30, peak = inUse;
}
// fakeFail lets the call of name that is the given number, counted from 1, return result.
void fakeFail(const char* name, int number, int result) { failures[name] = {number, result}; }
void fakeSet(const char* name, long long value) {
    std::string n = name;
    if (n == "devices") devices = value;
    if (n == "capability") capability = value;
    if (n == "version") version = value;
    if (n == "memory") total = value;
    if (n == "backwards") backwards = value;
}
long long fakeGet(const char* name) {
    std::string n = name;
    if (n == "bytes") return inUse;
    if (n == "peak") return peak;
    if (n == "allocations") return allocations.size();
    if (n == "pinned") return pinned.size();
    if (n == "launches") return launches;
    if (n == "broken") return broken; // allocations that somebody wrote beside
    if (n == "objects") return objects; // contexts, streams, events and modules
    if (n == "copies") return copies; // between host and device
    if (n == "compiles") return compiles; // by NVRTC
    if (n == "graphs") return graphs; // that were started
    if (n == "products") return products; // of cuBLASLt
    return -1;
}

int cuInit(unsigned) {
    CALLED(false);
    return devices ? OK : NO_DEVICE;
}
int cuDriverGetVersion(int* v) {
    CALLED(false);
    *v = version;
    return OK;
}
int cuDeviceGetCount(int* n) {
    CALLED(false);
    *n = devices;
    return OK;
}
int cuDeviceGet(int* d, int i) {
    CALLED(false);
    if (i < 0 || i >= devices) return BAD_DEVICE;
    *d = i + 40; // a handle is no number
    return OK;
}
int cuDeviceGetName(char* name, int size, int d) {
    CALLED(false);
    snprintf(name, size, "Emulated GPU %d", d - 40);
    return OK;
}
int cuDeviceGetAttribute(int* v, int attribute, int) {
    CALLED(false);
    switch (attribute) {
    case 75: *v = capability / 10; return OK;
    case 76: *v = capability % 10; return OK;
    case 16: *v = 4; return OK; // multiprocessors
    case 13: *v = 1000000; return OK; // clock in kHz
    case 36: *v = 1000000; return OK; // of the memory
    case 37: *v = 64; return OK; // width of the memory's bus in bits
    }
    return INVALID;
}
int cuDeviceTotalMem_v2(size_t* bytes, int) {
    CALLED(false);
    *bytes = total;
    return OK;
}
int cuDevicePrimaryCtxRetain(void** c, int d) {
    CALLED(false);
    *c = (void*)(intptr_t)(d + 1000);
    objects++;
    return OK;
}
int cuDevicePrimaryCtxRelease_v2(int) {
    objects--;
    return OK;
}
int cuCtxSetCurrent(void* c) {
    current = c != nullptr; // the fake has one thread at a time
    return OK;
}
int cuMemGetInfo_v2(size_t* free, size_t* all) {
    CALLED(true);
    *free = total - inUse;
    *all = total;
    return OK;
}
int cuMemAlloc_v2(Pointer* p, size_t bytes) {
    CALLED(true);
    if (bytes == 0) return INVALID;
    if (inUse + (long long)bytes > total) return NO_MEMORY;
    char* m = (char*)aligned_alloc(256, (bytes + 2 * guard + 255) / 256 * 256);
    memset(m, 0xff, bytes + 2 * guard); // NaNs
    *p = (Pointer)(m + guard);
    allocations[*p] = bytes;
    inUse += bytes;
    peak = inUse > peak ? inUse : peak;
    return OK;
}
int cuMemFree_v2(Pointer p) {
    CALLED(true);
    if (capturing) return NOT_IN_CAPTURE;
    drain(); // the driver waits as well
    auto a = allocations.find(p);
    if (a == allocations.end()) return INVALID;
    for (size_t i = 0; i < guard; i += 4)
        if (*guardWord(p, -4 - (long long)i) != ~0u) {
            broken++;
            break;
        }
    for (size_t i = 0; i < guard; i++)
        if (*(unsigned char*)(p + a->second + i) != 0xff) {
            broken++;
            break;
        }
    inUse -= a->second;
    allocations.erase(a);
    free((char*)p - guard);
    return OK;
}
int cuMemAllocHost_v2(void** p, size_t bytes) {
    CALLED(true);
    *p = malloc(bytes);
    pinned[(Pointer)*p] = bytes;
    return OK;
}
int cuMemFreeHost(void* p) {
    CALLED(true);
    drain();
    if (!pinned.erase((Pointer)p)) return INVALID;
    free(p);
    return OK;
}
// Copies read and write the host's memory when they run, not when they are asked for.
int cuMemcpyHtoDAsync_v2(Pointer to, const void* from, size_t bytes, void*) {
    CALLED(true);
    if (capturing) return NOT_IN_CAPTURE;
    if (!inside(to, bytes)) return INVALID;
    copies++;
    queue.push_back([=] { memcpy((void*)to, from, bytes); });
    return OK;
}
int cuMemcpyDtoHAsync_v2(void* to, Pointer from, size_t bytes, void*) {
    CALLED(true);
    if (capturing) return NOT_IN_CAPTURE;
    if (!inside(from, bytes)) return INVALID;
    copies++;
    queue.push_back([=] { memcpy(to, (void*)from, bytes); });
    return OK;
}
int cuMemcpyDtoDAsync_v2(Pointer to, Pointer from, size_t bytes, void*) {
    CALLED(true);
    if (!inside(from, bytes) || !inside(to, bytes)) return INVALID;
    push([=] { memmove((void*)to, (void*)from, bytes); });
    return OK;
}
int cuStreamCreate(void** s, unsigned) {
    CALLED(true);
    *s = (void*)&queue;
    objects++;
    return OK;
}
int cuStreamDestroy_v2(void*) {
    objects--;
    drain();
    return OK;
}
int cuStreamSynchronize(void*) {
    CALLED(true);
    if (capturing) return NOT_IN_CAPTURE;
    drain();
    return OK;
}
int cuEventCreate(void** e, unsigned) {
    CALLED(true);
    *e = new float(0);
    objects++;
    return OK;
}
int cuEventDestroy_v2(void* e) {
    delete (float*)e;
    objects--;
    return OK;
}
int cuEventRecord(void* e, void*) {
    CALLED(true);
    queue.push_back([=] { *(float*)e = 1; });
    return OK;
}
int cuEventSynchronize(void*) {
    CALLED(true);
    drain();
    return OK;
}
int cuEventElapsedTime(float* ms, void* from, void* to) {
    CALLED(true);
    if (*(float*)from == 0 || *(float*)to == 0) return NOT_READY;
    *ms = 1;
    return OK;
}
int cuModuleLoadDataEx(void** m, const void* image, unsigned, void*, void*) {
    CALLED(true);
    *m = malloc(1);
    modules[*m] = (const char*)image;
    objects++;
    return OK;
}
int cuModuleUnload(void* m) {
    if (!modules.erase(m)) return INVALID;
    free(m);
    objects--;
    return OK;
}
// A kernel must be in the image, which is PTX, and in this library.
int cuModuleGetFunction(const void** f, void* m, const char* name) {
    CALLED(true);
    if (modules[m].find(std::string(".entry ") + name + "(") == std::string::npos) return NOT_FOUND;
    for (auto k = emulator::Kernel::first; k; k = k->next)
        if (!strcmp(k->name, name)) {
            *f = k;
            return OK;
        }
    return NOT_FOUND;
}
int cuLaunchKernel(const emulator::Kernel* k, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                   unsigned bz, unsigned, void*, void** arguments, void**) {
    CALLED(true);
    if (!gx || !gy || !gz || gy > 65535 || gz > 65535 || gx > 0x7fffffffu || bx > 1024 || !bx || by != 1 ||
        bz != 1)
        return INVALID;
    launches++;
    std::vector<uint64_t> kept(k->words);
    k->keep(kept.data(), arguments);
    push([=] { emulator::grid(k, {gx, gy, gz}, {bx, by, bz}, kept.data(), backwards != 0); });
    return OK;
}

// Graphs.
int cuStreamBeginCapture_v2(void*, int) {
    CALLED(true);
    if (capturing) return INVALID;
    capturing = new Work;
    objects++;
    return OK;
}
int cuStreamEndCapture(void*, Work** graph) {
    Work* made = capturing;
    capturing = nullptr;
    if (int r = called(__func__)) {
        objects -= made != nullptr;
        delete made;
        return r;
    }
    *graph = made;
    return made ? OK : INVALID;
}
int cuGraphInstantiateWithFlags(Work** exec, Work* graph, unsigned long long) {
    CALLED(true);
    *exec = new Work(*graph);
    objects++;
    return OK;
}
int cuGraphLaunch(Work* exec, void*) {
    CALLED(true);
    if (capturing) return NOT_IN_CAPTURE;
    graphs++;
    queue.insert(queue.end(), exec->begin(), exec->end());
    return OK;
}
int cuGraphExecDestroy(Work* exec) {
    objects--;
    delete exec;
    return OK;
}
int cuGraphDestroy(Work* graph) {
    objects--;
    delete graph;
    return OK;
}

// NVRTC, whose code says which kernels there are.
int nvrtcVersion(int* major, int* minor) {
    *major = 12;
    *minor = 9;
    return OK;
}
int nvrtcCreateProgram(void** p, const char*, const char*, int, const char**, const char**) {
    *p = new std::string("code");
    return OK;
}
int nvrtcDestroyProgram(void** p) {
    delete (std::string*)*p;
    return OK;
}
int nvrtcCompileProgram(void* p, int, const char**) {
    if (int r = called(__func__)) return r;
    compiles++;
    for (auto k = emulator::Kernel::first; k; k = k->next) *(std::string*)p += std::string(" .entry ") + k->name + "(";
    return OK;
}
int nvrtcGetProgramLogSize(void*, size_t* n) {
    *n = 6;
    return OK;
}
int nvrtcGetProgramLog(void*, char* log) {
    strcpy(log, "error");
    return OK;
}
int nvrtcGetCUBINSize(void* p, size_t* n) {
    *n = ((std::string*)p)->size();
    return OK;
}
int nvrtcGetCUBIN(void* p, char* code) {
    memcpy(code, ((std::string*)p)->data(), ((std::string*)p)->size());
    return OK;
}
int nvrtcGetPTXSize(void* p, size_t* n) { return nvrtcGetCUBINSize(p, n); }
int nvrtcGetPTX(void* p, char* code) { return nvrtcGetCUBIN(p, code); }

// cuBLASLt: products of matrices in columns, D = op(A) op(B), with sums in float32.
struct Layout { int type; uint64_t rows, columns; int64_t stride; };
struct Product { int compute, turn[2]; };
struct Heuristic { uint64_t algorithm[8]; size_t workspace; int state; float waves; int reserved[4]; };

int cublasLtCreate(void** h) {
    CALLED(true);
    *h = malloc(1);
    objects++;
    return OK;
}
int cublasLtDestroy(void* h) {
    free(h);
    objects--;
    return OK;
}
int cublasLtMatmulDescCreate(Product** p, int compute, int scale) {
    CALLED(true);
    if ((compute != 68 && compute != 77) || scale != 0) return 15;
    *p = new Product{compute, {0, 0}};
    objects++;
    return OK;
}
int cublasLtMatmulDescDestroy(Product* p) {
    delete p;
    objects--;
    return OK;
}
int cublasLtMatmulDescSetAttribute(Product* p, int attribute, const int* value, size_t bytes) {
    CALLED(true);
    if ((attribute != 3 && attribute != 4) || bytes != 4 || *value < 0 || *value > 1) return 7;
    p->turn[attribute - 3] = *value;
    return OK;
}
int cublasLtMatrixLayoutCreate(Layout** l, int type, uint64_t rows, uint64_t columns, int64_t stride) {
    CALLED(true);
    if (stride < (int64_t)rows) return 7;
    *l = new Layout{type, rows, columns, stride};
    objects++;
    return OK;
}
int cublasLtMatrixLayoutDestroy(Layout* l) {
    delete l;
    objects--;
    return OK;
}
int cublasLtMatmulPreferenceCreate(size_t** p) {
    CALLED(true);
    *p = new size_t(0);
    objects++;
    return OK;
}
int cublasLtMatmulPreferenceDestroy(size_t* p) {
    delete p;
    objects--;
    return OK;
}
int cublasLtMatmulPreferenceSetAttribute(size_t* p, int attribute, const uint64_t* value, size_t bytes) {
    CALLED(true);
    if (attribute != 1 || bytes != 8) return 7;
    *p = *value;
    return OK;
}
// agree tells whether the sides of a product fit.
bool agree(const Product* p, const Layout* a, const Layout* b, const Layout* d) {
    uint64_t m = p->turn[0] ? a->columns : a->rows, k = p->turn[0] ? a->rows : a->columns;
    uint64_t l = p->turn[1] ? b->columns : b->rows, n = p->turn[1] ? b->rows : b->columns;
    return k == l && m == d->rows && n == d->columns && a->type == b->type && d->type == 0;
}
int cublasLtMatmulAlgoGetHeuristic(void*, Product* p, Layout* a, Layout* b, Layout* c, Layout* d, size_t* preference,
                                   int want, Heuristic* list, int* got) {
    CALLED(true);
    if (!agree(p, a, b, d) || c != d || want != 1) return 7;
    *list = {{42}, *preference < 4096 ? *preference : 4096, 0, 1.0f, {}};
    *got = 1;
    return OK;
}
float element(const Layout* l, Pointer p, uint64_t row, uint64_t column) {
    size_t at = column * l->stride + row;
    if (l->type == 0) return ((const float*)p)[at];
    uint16_t h = ((const uint16_t*)p)[at];
    return l->type == 14 ? emulator::fromBF16(h) : emulator::fromF16(h);
}
int cublasLtMatmul(void*, Product* p, const float* alpha, Pointer a, Layout* la, Pointer b, Layout* lb,
                   const float* beta, Pointer c, Layout* lc, Pointer d, Layout* ld, const uint64_t* algorithm,
                   Pointer work, size_t workBytes, void*) {
    CALLED(true);
    size_t width[3] = {la->type ? 2u : 4u, lb->type ? 2u : 4u, 4};
    if (!agree(p, la, lb, ld) || *alpha != 1 || *beta != 0 || c != d || lc != ld || algorithm[0] != 42) return 7;
    if (!inside(a, la->stride * la->columns * width[0]) || !inside(b, lb->stride * lb->columns * width[1]) ||
        !inside(d, ld->stride * ld->columns * 4) || !inside(work, workBytes) || workBytes < 4096)
        return 7;
    products++;
    push([=, product = *p, x = *la, y = *lb, z = *ld] {
        uint64_t k = product.turn[0] ? x.rows : x.columns;
        memset((void*)work, 0x55, workBytes);
        for (uint64_t j = 0; j < z.columns; j++)
            for (uint64_t i = 0; i < z.rows; i++) {
                float sum = 0;
                for (uint64_t q = 0; q < k; q++) {
                    float f = product.turn[0] ? element(&x, a, q, i) : element(&x, a, i, q);
                    float g = product.turn[1] ? element(&y, b, j, q) : element(&y, b, q, j);
                    if (product.compute == 77) {
                        f = emulator::OfTF32::wide(emulator::toTF32(f), 0);
                        g = emulator::OfTF32::wide(emulator::toTF32(g), 0);
                    }
                    sum += f * g;
                }
                ((float*)d)[j * z.stride + i] = sum;
            }
    });
    return OK;
}

int cuGetErrorName(int code, const char** name) {
    static std::map<int, const char*> names = {{1, "CUDA_ERROR_INVALID_VALUE"}, {2, "CUDA_ERROR_OUT_OF_MEMORY"},
        {100, "CUDA_ERROR_NO_DEVICE"}, {201, "CUDA_ERROR_INVALID_CONTEXT"}, {500, "CUDA_ERROR_NOT_FOUND"},
        {700, "CUDA_ERROR_ILLEGAL_ADDRESS"}, {719, "CUDA_ERROR_LAUNCH_FAILED"}, {999, "CUDA_ERROR_UNKNOWN"}};
    auto n = names.find(code);
    *name = n == names.end() ? "CUDA_ERROR" : n->second;
    return OK;
}
}
