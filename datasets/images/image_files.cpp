#include <algorithm>
#include <array>
#include <filesystem>
#include <span>
#include <string_view>

#include "cks/core/error.h"
#include "cks/core/io/utf8.h"
#include "cks/datasets/image_folder.h"
#include "cks/datasets/images/image_files_impl.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/lists_impl.h"

namespace cks {

namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 5> kRead{".png", ".jpg", ".jpeg", ".bmp", ".gif"};
constexpr std::array<std::string_view, 7> kNotRead{".avif", ".heic", ".jp2", ".jxl",
                                                   ".tif",  ".tiff", ".webp"};

std::string lower_extension(const fs::path& path) {
  std::string extension = path.extension().string();
  for (char& letter : extension) {
    if (letter >= 'A' && letter <= 'Z') {
      letter = static_cast<char>(letter - 'A' + 'a');
    }
  }
  return extension;
}

/// Also what macOS puts beside the files of an archive.
bool is_hidden(const fs::path& path) {
  return path.filename().string().starts_with('.') || path.filename() == "__MACOSX";
}

constexpr const char* kLoadFolder = "load_image_folder";
constexpr const char* kNoImage = "has no image (.png, .jpg, .jpeg, .bmp or .gif)";

[[noreturn]] void fail(const std::string& dir, const std::string& what,
                       const char* operation = kLoadFolder) {
  throw IoError(formatted("{}: '{}' {}", operation, dir, what));
}

/// Paths of what is wanted in `dir`, with `below` also below it, in byte order; hidden folders are
/// not entered.
std::vector<std::string> list(const std::string& dir, bool below,
                              bool (*wanted)(const fs::directory_entry&),
                              const char* operation = kLoadFolder) {
  std::vector<std::string> paths;
  std::error_code error;
  fs::recursive_directory_iterator entries(dir, error);
  while (!error && entries != fs::recursive_directory_iterator()) {
    if (wanted(*entries)) {
      paths.push_back(entries->path().string());
    }
    if (!below || is_hidden(entries->path())) {
      entries.disable_recursion_pending();
    }
    entries.increment(error);
  }
  if (error) {
    fail(dir, "cannot be listed: " + error.message(), operation);
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

bool is_image(const fs::directory_entry& entry) {
  std::error_code ignored;  // a link to nothing is no file
  const std::string extension = lower_extension(entry.path());
  return !is_hidden(entry.path()) &&
         (contains(kRead, extension) || contains(kNotRead, extension)) &&
         entry.is_regular_file(ignored);
}

bool is_class(const fs::directory_entry& entry) {
  std::error_code ignored;
  return !is_hidden(entry.path()) && entry.is_directory(ignored);
}

std::int64_t label_of(const ImageClasses& classes, const std::string& name) {
  const auto place = std::find(classes.names.begin(), classes.names.end(), name);
  if (place == classes.names.end()) {
    fail(classes.dir,
         formatted("has a folder '{}', expected only the classes {}", name, joined(classes.names)));
  }
  return place - classes.names.begin();
}

}  // namespace

std::string joined(const std::vector<std::string>& names) {
  constexpr std::size_t kMost = 20;
  const std::string first = list_text(std::span(names).first(std::min(names.size(), kMost)));
  return first + (names.size() > kMost ? formatted(" and {} more", names.size() - kMost) : "");
}

bool is_readable_format(const std::string& path) { return contains(kRead, lower_extension(path)); }

ImageClasses list_image_classes(const std::string& dir, const std::vector<std::string>& known) {
  std::error_code ignored;
  if (!fs::is_directory(dir, ignored)) {
    fail(dir, "is no folder");
  }
  ImageClasses classes{dir, known, {}};
  const std::vector<std::string> folders = list(dir, false, is_class);
  if (folders.empty()) {
    fail(dir, "has no folder, expected one for each class with its images in it");
  }
  for (const std::string& folder : folders) {
    const std::string name = fs::path(folder).filename().string();
    if (!is_utf8(name)) {
      fail(folder, "has a name that is not UTF-8, as that of a class must be; rename the folder");
    }
    if (known.empty()) {
      classes.names.push_back(name);
    }
    const std::int64_t label = label_of(classes, name);
    const std::vector<std::string> paths = list(folder, true, is_image);
    if (paths.empty() && known.empty()) {
      fail(folder, kNoImage);
    }
    for (const std::string& path : paths) {
      classes.all_inside &= fs::path(path).parent_path() != folder;
      classes.files.push_back({path, label});
    }
  }
  if (classes.files.empty()) {
    fail(dir, kNoImage);
  }
  std::stable_sort(classes.files.begin(), classes.files.end(),
                   [](const ImageFile& a, const ImageFile& b) { return a.label < b.label; });
  return classes;
}

std::vector<std::string> list_images(const std::string& dir) {
  constexpr const char* kOp = "list_images";
  std::vector<std::string> paths = list(dir, false, is_image, kOp);
  if (paths.empty()) {
    fail(dir, std::string(kNoImage) + " of its own; folders inside it are not entered", kOp);
  }
  return paths;
}

}  // namespace cks
