#pragma once
#include <filesystem>
#include <string>
#include <vector>

namespace cks {

/// The absolute folders that a dataset's own folders are looked for in: `dir`, or, where that is
/// empty, the environment's CKS_DATA_DIR if it is set, then ./data.
std::vector<std::filesystem::path> data_roots(const std::string& dir);

/// The last lines of an error about a dataset that is in none of them: the command that fetches it.
std::string how_to_fetch(const std::string& dataset, const std::string& dir);

}  // namespace cks
