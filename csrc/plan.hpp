// How a call is cut among the members of the team, and how each goes through its blocks. No choice made here changes a bit of
// any result.
#pragma once
#include "calls.hpp"
#include "panel.hpp"
#include "tiling.hpp"

namespace backtime::BT_ISA {

struct Plan {
  int threads;
  bool by_rows;  // each member takes its rows through all of time; else its blocks, with a barrier each step
  bool hoist;    // the input product first, over all rows of a chunk of steps at once
  long chunk;    // steps in a chunk
};

// By rows nobody waits for anybody; by blocks a member reads only its share of the weights, which is worth more once a
// step is long, if the blocks can be shared out evenly.
inline bool shares_blocks(long B, long nb, long step_work, int threads) {
  if (B < 4L * threads) return true;
  if (!team_steady()) return false;
  const long each = (nb + threads - 1) / threads;
  return step_work > 60000L * threads && 20 * nb >= 19 * each * threads;
}

// A step of few rows waits for its weights and not for multiply-adds. Every other one goes through the blocks backwards: of
// weights that are larger than a cache, what was read last is still in it. A single row reads few blocks side by side, so that
// those read last are still there from their beginning on.
inline Sweep sweep(long k, long rows, long bytes) {
  constexpr long first_cache = 32 * 1024;  // of a core
  return {k % 2 == 1 && rows < FEW_ROWS, rows == 1 && bytes > first_cache ? FEW_ACCUMULATORS : MAX_ACCUMULATORS};
}

template <class T> Plan plan_forward(const Sizes& s, int G, int asked, bool tokens, bool must_hoist = false) {
  // Of a core, in bytes, to be shared with the rows: from panels of this size on hoisting was faster.
  constexpr long L = LANES<T>, cache = (BT_REGISTERS == 16 ? 192 : 512) * 1024;
  const long T_ = s.steps.T, R = s.rows(), B = T_ ? (R + T_ - 1) / T_ : 0;  // rows of a step, on average
  const long nb = blocks_of<T>(s.H);
  const long step_work = B * nb * (G * s.P + 24);  // vector operations of one step, roughly
  Plan plan{asked, !shares_blocks(B, nb, step_work, asked), must_hoist, T_ > 0 ? T_ : 1};
  if (plan.by_rows) {
    if (step_work * T_ < 30000) plan.threads = 1;
  } else {
    if (nb < plan.threads) plan.threads = static_cast<int>(nb);
    // A barrier each step, or, for a single step, waking the team, would cost more than it gains.
    if (step_work < (T_ == 1 ? 40000 : 3000)) plan.threads = 1;
  }
  if (plan.threads == 1) plan.by_rows = true;
  const long rows = plan.by_rows ? B / plan.threads : B;
  const long panel_bytes = G * L * (s.I + s.P) * static_cast<long>(sizeof(T));
  plan.hoist |= !tokens && T_ > 1 && (rows < FEW_ROWS || panel_bytes > cache);
  if (plan.hoist && B) {  // the chunk's pre-activations stay in cache, and enough rows share a panel
    const long fit = (2L << 20) / (nb * L * (G + 1) * static_cast<long>(sizeof(T)));
    const long steps = (fit < 512 ? 512 : fit) / B;
    plan.chunk = steps < 1 ? 1 : steps < T_ ? steps : T_;
  }
  return plan;
}

// Backward has one panel for four blocks and nothing to hoist: rows, where there are enough.
template <class T> Plan plan_backward(const Sizes& s, int G, int asked) {
  Plan plan = plan_forward<T>(s, G, asked, true);
  if (s.rows() >= 4L * plan.threads * s.steps.T) plan.by_rows = true;
  return plan;
}

}  // namespace backtime::BT_ISA
