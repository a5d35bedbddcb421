#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "cks/core/tensor/tensor.h"

namespace cks {

/// What differs once a file was written to or another one has its name.
struct FileStamp {
  std::int64_t bytes = -1;  // -1: there is no such file
  std::int64_t modified = 0;
  std::int64_t changed = 0;  // of its entry, too: a copy may be given the time of the original
  friend bool operator==(const FileStamp&, const FileStamp&) = default;
};

FileStamp stamp_of(const std::string& path);

/// A picture that was decoded.
struct KeptPicture {
  std::string path;
  FileStamp stamp;
  std::string note;
  Tensor image;  // uint8 [H,W,C]
};

/// Decoded pictures of one folder and one way of preparing them, from one start of a program to the
/// next: a file in a cache folder, with a checksum. One that is damaged counts as none.
class PictureCache {
 public:
  /// Reads what is there. `way`: what the pixels depend on beside their file. With an empty `dir`
  /// nothing is read or kept.
  PictureCache(const std::string& dir, const std::string& root, std::string way,
               std::int64_t channels);

  /// Null unless the file is as it was.
  const KeptPicture* find(const std::string& path, const FileStamp& stamp) const;

  /// Keeps these pictures, and no others of before. `images` [N,H,W,C] are theirs, in order.
  void add(const Tensor& images, const std::vector<KeptPicture>& pictures);
  /// Writes those that were added, unless all of them were there or they have more than
  /// `max_bytes`, and removes other files, first those that were used longest ago, until all
  /// together have at most so many. Returns why it could not; empty: it could.
  std::string store(std::int64_t max_bytes);

 private:
  std::string dir_;
  std::string file_;
  std::string way_;
  std::map<std::string, KeptPicture> before_;  // by path
  NamedTensors added_;
  std::size_t count_ = 0;  // of added pictures
  bool is_new_ = false;    // whether one of them was not there before
};

}  // namespace cks
