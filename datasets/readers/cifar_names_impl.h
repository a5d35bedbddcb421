#pragma once
#include <string>
#include <vector>

namespace cks {

/// Class names as published with the datasets, in the order of their labels.
std::vector<std::string> cifar10_names();
std::vector<std::string> cifar100_fine_names();
std::vector<std::string> cifar100_coarse_names();

}  // namespace cks
