// How a call is cut among the members of the team. No choice made here changes a bit of any result.
#pragma once
#include "calls.hpp"
#include "panel.hpp"

namespace backtime::BT_ISA {

struct Plan {
  int threads;
  bool by_rows;  // each member takes its rows through all of time; else its blocks, with a barrier each step
  bool hoist;    // the input product first, over all rows at once
};

template <class T> Plan plan_sequence(const Sizes& s, int G, int asked, bool tokens) {
  constexpr long L = LANES<T>, cache = 512 * 1024;  // of a core, in bytes, to be shared with the rows
  const long nb = blocks_of<T>(s.H);
  const long step_work = s.B * nb * (G * s.H + 24);  // vector operations of one step, roughly
  Plan plan{asked, s.B >= 4L * asked, false};
  if (plan.by_rows) {
    if (step_work * s.T < 30000) plan.threads = 1;
  } else {
    if (nb < plan.threads) plan.threads = static_cast<int>(nb);
    // A barrier each step, or, for a single step, waking the team, would cost more than it gains.
    if (step_work < (s.T == 1 ? 40000 : 3000)) plan.threads = 1;
  }
  if (plan.threads == 1) plan.by_rows = true;
  const long rows = plan.by_rows ? s.B / plan.threads : s.B;
  const long panel_bytes = G * L * (s.I + s.H) * static_cast<long>(sizeof(T));
  plan.hoist = !tokens && s.T > 1 && (rows < 12 || panel_bytes > cache);
  return plan;
}

}  // namespace backtime::BT_ISA
