// How many processors this process may use.
#pragma once
#include <string>

namespace backtime {

int processors();  // by its affinity and by its container's quota of processor time (cgroup), whichever is less

// The processors that a quota leaves, rounded up, or 0 where there is none: the least of the groups that `groups` names (a
// file like /proc/self/cgroup) and of those that they are in, under `root`. Both versions of cgroups.
int quota(const std::string& groups, const std::string& root);

// A number from 1 in an environment variable, or 0 where it is not set; std::invalid_argument for anything else.
int number_from_environment(const char* variable);

// OMP_NUM_THREADS, of a list its first number; 0 where it is not set or no such number, which is for OpenMP to complain of.
int openmp_number();

}  // namespace backtime
