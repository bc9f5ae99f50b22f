// Registers kernels: the build puts a line REGISTER(name) for each one behind the text of its file.
#include <tuple>
#include <utility>

namespace emulator {
template <class... A> struct Caller {
    typedef std::tuple<A...> All;
    template <size_t... I> static void copy(All* to, void** arguments, std::index_sequence<I...>) {
        int each[] = {0, (memcpy((void*)&std::get<I>(*to), arguments[I], sizeof(A)), 0)...};
        (void)each;
    }
    static void keep(void* to, void** arguments) { copy((All*)to, arguments, std::index_sequence_for<A...>()); }
    template <void (*F)(A...), size_t... I> static void call(const All& a, std::index_sequence<I...>) {
        F(std::get<I>(a)...);
    }
    template <void (*F)(A...)> static void run(const void* kept) {
        call<F>(*(const All*)kept, std::index_sequence_for<A...>());
    }
    template <void (*F)(A...)> static void add(Kernel* k, const char* name) {
        *k = {name, (sizeof(All) + 7) / 8, keep, run<F>, Kernel::first};
        Kernel::first = k;
    }
};
template <class... A> Caller<A...> callerOf(void (*)(A...)) { return {}; }
} // namespace emulator

#define REGISTER(name)                                                                                             \
    static emulator::Kernel kernelOf_##name;                                                                       \
    static int registered_##name = (decltype(emulator::callerOf(name))::add<name>(&kernelOf_##name, #name), 0);
