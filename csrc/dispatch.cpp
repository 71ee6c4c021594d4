// Chooses the instruction set once, when first asked: the best one the machine has, or a lower one that
// BACKTIME_ISA names.
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

#include "calls.hpp"

namespace backtime {

#if defined(__x86_64__)
namespace avx512 {
template <class T> const Kernels<T>& table();
}
namespace avx2 {
template <class T> const Kernels<T>& table();
}
namespace baseline {
template <class T> const Kernels<T>& table();
}
#else
namespace neon {
template <class T> const Kernels<T>& table();
}
#endif

namespace {

struct Isa {
  const char* name;
  bool here;
  const Kernels<float>& (*floats)();
  const Kernels<double>& (*doubles)();
};

const Isa& chosen() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                          __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
  static const Isa all[] = {{"avx512", has_avx512, avx512::table<float>, avx512::table<double>},
                            {"avx2", has_avx2, avx2::table<float>, avx2::table<double>},
                            {"baseline", true, baseline::table<float>, baseline::table<double>}};
#else
  static const Isa all[] = {{"neon", true, neon::table<float>, neon::table<double>}};
#endif
  static const Isa& choice = [&]() -> const Isa& {
    const char* wanted = std::getenv("BACKTIME_ISA");
    for (const Isa& isa : all)
      if (isa.here && (!wanted || !*wanted || !std::strcmp(wanted, isa.name))) return isa;
    std::string have;
    for (const Isa& isa : all)
      if (isa.here) have += (have.empty() ? "" : ", ") + std::string(isa.name);
    throw std::invalid_argument("BACKTIME_ISA is '" + std::string(wanted) + "'; expected one that this machine has: " + have);
  }();
  return choice;
}

}  // namespace

template <> const Kernels<float>& kernels<float>() { return chosen().floats(); }
template <> const Kernels<double>& kernels<double>() { return chosen().doubles(); }
const char* isa_name() { return chosen().name; }

}  // namespace backtime
