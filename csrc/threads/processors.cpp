#include "processors.hpp"

#include <sched.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>

namespace backtime {
namespace {

constexpr int kNoLimit = std::numeric_limits<int>::max();

int by_affinity() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

int rounded_up(double quota, double period) {
  if (quota <= 0 || period <= 0) return kNoLimit;
  return std::max(1, static_cast<int>(std::min((quota + period - 1) / period, 1e6)));
}

int quota_of(const std::string& folder) {  // of one group, by either version of cgroups
  double quota = 0, period = 0;
  std::string text;
  if (std::ifstream file(folder + "/cpu.max"); file >> text >> period && text != "max") return rounded_up(std::atof(text.c_str()), period);
  std::ifstream(folder + "/cpu.cfs_quota_us") >> quota;
  std::ifstream(folder + "/cpu.cfs_period_us") >> period;
  return rounded_up(quota, period);
}

int quota_of_all(const std::string& root, std::string group) {  // the least of the group and of those that it is in
  int least = quota_of(root);
  while (group.size() > 1) {
    least = std::min(least, quota_of(root + group));
    group.resize(group.rfind('/'));
  }
  return least;
}

}  // namespace

// A line is number:controllers:group, without controllers for version 2.
int quota(const std::string& groups, const std::string& root) {
  int least = kNoLimit;
  std::ifstream file(groups);
  for (std::string line; std::getline(file, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",", group = line.substr(second + 1);
    if (controllers == ",,") least = std::min(least, quota_of_all(root, group));
    if (controllers.find(",cpu,") != std::string::npos) least = std::min(least, quota_of_all(root + "/cpu", group));
  }
  return least == kNoLimit ? 0 : least;
}

int processors() {
  static const int found = [] {
    const int granted = quota("/proc/self/cgroup", "/sys/fs/cgroup");
    return granted ? std::min(granted, by_affinity()) : by_affinity();
  }();
  return found;
}

int number_from_environment(const char* variable) {
  const char* text = std::getenv(variable);
  if (!text || !*text) return 0;
  char* end;
  const long n = std::strtol(text, &end, 10);
  if (*end || n < 1 || n > kNoLimit) throw std::invalid_argument(std::string(variable) + " is '" + text + "'; expected a number from 1");
  return static_cast<int>(n);
}

int openmp_number() {
  static const int found = [] {
    const char* text = std::getenv("OMP_NUM_THREADS");
    return text ? std::max(0, std::atoi(text)) : 0;
  }();
  return found;
}

}  // namespace backtime
