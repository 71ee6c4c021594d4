// The Python lock is given up while a call runs.
#pragma once
#include <Python.h>
#include <cxxabi.h>
#include <unistd.h>

namespace backtime {

// As nanobind's gil_scoped_release, but a daemon thread that comes back when the interpreter is ending sleeps until the
// process is gone: CPython before 3.14 ends such a thread by unwinding its stack, which C++ turns into std::terminate.
class GilReleased {
  PyThreadState* const state_ = PyEval_SaveThread();

 public:
  GilReleased() = default;
  GilReleased(const GilReleased&) = delete;
  ~GilReleased() {
    try {
      PyEval_RestoreThread(state_);
    } catch (abi::__forced_unwind&) {
      for (;;) pause();
    }
  }
};

}  // namespace backtime
