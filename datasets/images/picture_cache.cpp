#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <utility>

#include "cks/core/error.h"
#include "cks/core/io/safetensors.h"
#include "cks/datasets/images/picture_cache_impl.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks {

namespace {

namespace fs = std::filesystem;

// To be raised when the same file and options give other pixels than before.
constexpr const char* kFormat = "1";
constexpr const char* kEnding = ".safetensors";

std::int64_t nanoseconds(const timespec& time) {
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

/// Texts without a NUL, as bytes with one behind each.
Tensor pack(const std::vector<std::string>& texts) {
  std::vector<std::uint8_t> all;
  for (const std::string& text : texts) {
    all.insert(all.end(), text.begin(), text.end());
    all.push_back(0);
  }
  return Tensor::from_vector(all, {static_cast<std::int64_t>(all.size())});
}

std::vector<std::string> unpack(const Tensor& bytes) {
  std::vector<std::string> texts(1);
  const auto* next = bytes.data_as<std::uint8_t>();
  for (std::int64_t i = 0; i < bytes.numel(); ++i) {
    next[i] == 0 ? void(texts.emplace_back()) : texts.back().push_back(static_cast<char>(next[i]));
  }
  texts.pop_back();
  return texts;
}

/// Removes files, the one used longest ago first, until the rest has at most `max_bytes`.
void trim(const std::string& dir, std::int64_t max_bytes) {
  std::vector<fs::directory_entry> files;
  std::int64_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(dir)) {
    if (entry.path().filename().string().find(kEnding) !=
        std::string::npos) {  // half-written ones, too
      files.push_back(entry);
      bytes += static_cast<std::int64_t>(entry.file_size());
    }
  }
  std::sort(files.begin(), files.end(),
            [](const auto& a, const auto& b) { return a.last_write_time() < b.last_write_time(); });
  for (auto file = files.begin(); file != files.end() && bytes > max_bytes; ++file) {
    bytes -= static_cast<std::int64_t>(file->file_size());
    fs::remove(file->path());
  }
}

}  // namespace

FileStamp stamp_of(const std::string& path) {
  struct stat file {};
  if (::stat(path.c_str(), &file) != 0) {
    return {};
  }
  return {file.st_size, nanoseconds(file.st_mtim), nanoseconds(file.st_ctim)};
}

PictureCache::PictureCache(const std::string& dir, const std::string& root, std::string way,
                           std::int64_t channels)
    : dir_(dir), way_(kFormat + std::string(", ") + std::move(way)) {
  if (dir.empty()) {
    return;
  }
  const std::size_t name = std::hash<std::string>()(root + '\0' + way_);
  file_ = (fs::path(dir) / formatted("{:016x}{}", name, kEnding)).string();
  std::error_code ignored;
  if (!fs::exists(file_, ignored)) {
    return;
  }
  try {
    const SafetensorsFile file = load_safetensors(file_);
    const auto way_then = file.metadata.find("way");
    if (way_then == file.metadata.end() || way_then->second != way_ ||
        file.metadata.count(kSafetensorsChecksum) == 0) {
      return;
    }
    const std::map<std::string, Tensor> tensors(file.tensors.begin(), file.tensors.end());
    for (std::size_t half = 0; 4 * half < tensors.size(); ++half) {
      const auto at = [&](const char* what) { return tensors.at(formatted("{}.{}", half, what)); };
      const std::vector<std::string> paths = unpack(at("paths"));
      const std::vector<std::string> notes = unpack(at("notes"));
      const std::vector<std::int64_t> stamps = at("stamps").to_vector<std::int64_t>();
      const Tensor images = at("images");
      if (images.rank() != 4 || images.size(3) != channels || images.dtype() != DType::uint8) {
        throw IoError(formatted("{} holds other pictures", file_));
      }
      for (std::size_t i = 0; i < paths.size(); ++i) {
        const auto row = static_cast<std::int64_t>(i);
        const Tensor image = images.slice(row, row + 1);
        before_[paths[i]] = {paths[i],
                             {stamps.at(3 * i), stamps.at(3 * i + 1), stamps.at(3 * i + 2)},
                             notes.at(i),
                             image.reshape({image.size(1), image.size(2), image.size(3)})};
      }
    }
  } catch (const std::exception&) {  // damaged, or not ours: the pictures are read again
    before_.clear();
    is_new_ = true;
  }
}

const KeptPicture* PictureCache::find(const std::string& path, const FileStamp& stamp) const {
  const auto found = before_.find(path);
  return found != before_.end() && found->second.stamp == stamp ? &found->second : nullptr;
}

void PictureCache::add(const Tensor& images, const std::vector<KeptPicture>& pictures) {
  if (dir_.empty()) {
    return;
  }
  std::vector<std::string> paths;
  std::vector<std::string> notes;
  std::vector<std::int64_t> stamps;
  for (const auto& [path, stamp, note, unused] : pictures) {
    is_new_ = is_new_ || find(path, stamp) == nullptr;
    paths.push_back(path);
    notes.push_back(note);
    stamps.insert(stamps.end(), {stamp.bytes, stamp.modified, stamp.changed});
  }
  count_ += pictures.size();
  const std::string half = std::to_string(added_.size() / 4);
  added_.emplace_back(half + ".images", images);
  added_.emplace_back(half + ".paths", pack(paths));
  added_.emplace_back(half + ".notes", pack(notes));
  added_.emplace_back(half + ".stamps",
                      Tensor::from_vector(stamps, {static_cast<std::int64_t>(paths.size()), 3}));
}

std::string PictureCache::store(std::int64_t max_bytes) {
  if (dir_.empty()) {
    return {};
  }
  try {
    if (!is_new_ && count_ == before_.size()) {
      fs::last_write_time(file_, fs::file_time_type::clock::now());  // used most recently
      return {};
    }
    std::int64_t bytes = 0;
    for (const auto& [name, tensor] : added_) {
      bytes += static_cast<std::int64_t>(tensor.nbytes());
    }
    fs::create_directories(dir_);
    fs::remove(file_);
    if (bytes <= max_bytes) {
      trim(dir_, max_bytes - bytes);
      save_safetensors(file_, added_, {{"way", way_}, {kSafetensorsChecksum, ""}});
    }
    return {};
  } catch (const std::exception& error) {
    return error.what();
  }
}

}  // namespace cks
