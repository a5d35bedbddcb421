#pragma once
#include <cstdint>

/// The one place where what a program asks of the system can be made to fail. It is linked into
/// faults_tests alone: there it takes the place of operator new and of the C library's functions.
namespace cks::testing {

enum class Fault : std::uint8_t { allocation, open, stat, write, sync, rename, thread };
inline constexpr Fault kFaults[] = {Fault::allocation, Fault::open,   Fault::stat,  Fault::write,
                                    Fault::sync,       Fault::rename, Fault::thread};
const char* name_of(Fault fault);

/// Until its end request number `at`, from 1, of the kind fails, on whatever thread: with
/// std::bad_alloc (requests of 1 KiB and more), or as on a disk that is full or a system without
/// threads left.
class FaultScope {
 public:
  FaultScope(Fault fault, std::int64_t at);
  ~FaultScope();
  FaultScope(const FaultScope&) = delete;
  FaultScope& operator=(const FaultScope&) = delete;

  /// Requests so far.
  std::int64_t count() const;
};

}  // namespace cks::testing
