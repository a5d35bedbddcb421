#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace cks {

struct ImageFile {
  std::string path;
  std::int64_t label = 0;
};

/// The image files of a folder with one folder a class: in order of class, then of path.
struct ImageClasses {
  std::string dir;
  std::vector<std::string> names;
  std::vector<ImageFile> files;
  /// Every image lies in a folder inside its class: perhaps those folders are the classes.
  bool all_inside = true;
};

/// Lists DIR/CLASS/...; see image_folder.h. With `known` these are the classes, of which some may
/// be missing or have no image. Throws IoError: no such folder, no class folder, one that is not
/// known or whose name is not UTF-8, another class or all of them without an image, a folder that
/// cannot be listed.
ImageClasses list_image_classes(const std::string& dir, const std::vector<std::string>& known);

/// "cat, dog", of more than twenty "ant, bee, ... and 180 more".
std::string joined(const std::vector<std::string>& names);

/// Whether the name ends as that of a format that is read.
bool is_readable_format(const std::string& path);

}  // namespace cks
