#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cks {

/// Writes a file under a temporary name in the same folder and gives it its own name at the end, so
/// that a reader finds the old bytes or all of the new ones, whenever the program or the machine
/// stops. Without commit() the destructor removes the temporary file, which a kill leaves. All
/// throw IoError, naming the file and the system's reason; the old file is then as it was.
class AtomicFile {
 public:
  explicit AtomicFile(std::string path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* bytes, std::size_t count);  // appends
  /// Brings the bytes to the disk, then renames.
  void commit();

 private:
  std::string path_;
  std::string temporary_;
  int descriptor_ = -1;
};

/// Replaces or makes the file in one step; see AtomicFile.
void write_file_atomically(const std::string& path, std::string_view bytes);

/// Names of what is in a folder, in no order; none where it cannot be read. Unlike the standard
/// library's iterator it throws where memory runs out, which that one ends the process for.
std::vector<std::string> names_in(const std::string& folder);

/// Removes the temporary files that processes left in a folder when they were killed. For a folder
/// that nobody else writes to by now. What cannot be removed stays.
void remove_temporary_files(const std::string& folder);

/// A file to read parts of; it stays the one that was opened when another takes its name. All throw
/// IoError, naming the file and the system's reason.
class InputFile {
 public:
  explicit InputFile(std::string path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  std::size_t size() const { return size_; }
  void read(std::size_t offset, void* to, std::size_t count) const;  // from there on; all or throws

 private:
  std::string path_;
  int descriptor_ = -1;
  std::size_t size_ = 0;
};

/// All bytes of a file. Throws IoError if it cannot be read or is larger than `limit`.
std::string read_file(const std::string& path, std::uint64_t limit = std::uint64_t{1} << 40);

}  // namespace cks
