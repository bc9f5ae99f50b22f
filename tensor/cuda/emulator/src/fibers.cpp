// The threads of a block, as fibers on one thread of the processor.
#include "emulator.h"
#include <cstdio>
#include <cstdlib>
#include <sys/mman.h>
#include <vector>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

Dim threadIdx, blockIdx, blockDim, gridDim;
emulator::Kernel* emulator::Kernel::first;

namespace {
enum State { RUNS, AT_WARP, AT_BLOCK, DONE };
const size_t stackSize = 64 << 10;
const int most = 1024;

struct Fiber {
    void* sp;
    State state;
    int line, turn;
#if !defined(__x86_64__)
    ucontext_t context;
#endif
};
Fiber fibers[most];
Fiber* now;
Fiber home;
char* stacks;
emulator::Exchange exchanges[most / 32];
void (*body)(const void*);
const void* arguments;

#if defined(__x86_64__)
extern "C" void emulatorSwitch(void** from, void* to);
asm(".text\n.globl emulatorSwitch\n.hidden emulatorSwitch\nemulatorSwitch:\n"
    "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
    "mov %rsp,(%rdi)\nmov %rsi,%rsp\n"
    "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n");
void change(Fiber* from, Fiber* to) { emulatorSwitch(&from->sp, to->sp); }
#else
void change(Fiber* from, Fiber* to) { swapcontext(&from->context, &to->context); }
#endif

void enter() {
    body(arguments);
    now->state = DONE;
    change(now, &home);
    abort();
}

void ready(Fiber* f, int i) {
    f->state = RUNS;
    f->turn = 0;
    char* top = stacks + (i + 1) * stackSize - i % 64 * 64; // apart in the caches
#if defined(__x86_64__)
    void** sp = (void**)top;
    *--sp = nullptr; // keeps calls aligned
    *--sp = (void*)enter;
    for (int k = 0; k < 6; k++) *--sp = nullptr;
    f->sp = sp;
#else
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = stacks + i * stackSize;
    f->context.uc_stack.ss_size = top - (stacks + i * stackSize);
    f->context.uc_link = nullptr;
    makecontext(&f->context, enter, 0);
#endif
}

void place(int i) { threadIdx.x = i; } // blocks have one side

// reach fails where the fibers of a group wait at different places.
bool reach(int from, int to, State where) {
    int line = 0;
    for (int i = from; i < to; i++) {
        if (fibers[i].state == DONE) continue;
        if (fibers[i].state != where) return false;
        if (line && fibers[i].line != line) {
            fprintf(stderr, "emulator: threads of a block wait at lines %d and %d\n", line, fibers[i].line);
            abort();
        }
        line = fibers[i].line;
    }
    return line != 0;
}

// warp runs fibers [from, to) until all wait for the block or are done.
void warp(int from, int to, bool backwards) {
    for (;;) {
        for (int k = from; k < to; k++) {
            int i = backwards ? from + to - 1 - k : k;
            if (fibers[i].state != RUNS) continue;
            place(i);
            now = &fibers[i];
            change(&home, now);
        }
        if (!reach(from, to, AT_WARP)) break;
        for (int i = from; i < to; i++)
            if (fibers[i].state == AT_WARP) fibers[i].state = RUNS;
    }
    for (int i = from; i < to; i++)
        if (fibers[i].state == AT_WARP) {
            fprintf(stderr, "emulator: only some threads of a warp wait at line %d\n", fibers[i].line);
            abort();
        }
}

void block(int threads, bool backwards) {
    for (int i = 0; i < threads; i++) ready(&fibers[i], i);
    int warps = (threads + 31) / 32;
    for (;;) {
        for (int k = 0; k < warps; k++) {
            int w = backwards ? warps - 1 - k : k;
            warp(w * 32, w * 32 + 32 < threads ? w * 32 + 32 : threads, backwards);
        }
        if (!reach(0, threads, AT_BLOCK)) return; // all are done
        for (int i = 0; i < threads; i++)
            if (fibers[i].state == AT_BLOCK) fibers[i].state = RUNS;
    }
}
} // namespace

namespace {
// direct runs the threads of a block one after the other, without fibers: those of a kernel that has no barriers.
bool direct;

void plain(int threads, bool backwards) {
    direct = true;
    for (int k = 0; k < threads; k++) {
        place(backwards ? threads - 1 - k : k);
        body(arguments);
    }
    direct = false;
}
bool waited; // somebody has, in this launch
} // namespace

namespace emulator {
Exchange* exchange() { return &exchanges[(now - fibers) / 32]; }
int turn() { return now->turn ^= 1; }
void wait(int line, bool ofBlock) {
    if (direct) {
        fprintf(stderr, "emulator: a thread waits at line %d, and none of the first block did\n", line);
        abort();
    }
    waited = true;
    now->line = line;
    now->state = ofBlock ? AT_BLOCK : AT_WARP;
    change(now, &home);
}

// grid runs a kernel; backwards, threads and blocks run in the opposite order.
void grid(const Kernel* k, Dim blocks, Dim threads, const void* kept, bool backwards) {
    if (!stacks)
        stacks = (char*)mmap(nullptr, most * stackSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    body = k->run;
    arguments = kept;
    gridDim = blocks;
    blockDim = threads;
    waited = false;
    uint64_t all = (uint64_t)blocks.x * blocks.y * blocks.z;
    for (uint64_t i = 0; i < all; i++) {
        uint64_t b = backwards ? all - 1 - i : i;
        blockIdx.x = b % blocks.x;
        blockIdx.y = b / blocks.x % blocks.y;
        blockIdx.z = b / blocks.x / blocks.y;
        int count = threads.x * threads.y * threads.z;
        if (i > 0 && !waited) plain(count, backwards);
        else block(count, backwards);
    }
}
} // namespace emulator
