#include "tests/faults/seam.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <new>

namespace cks::testing {
namespace {

// Smaller pieces are not refused: nlohmann's destructor of an object takes memory itself, and ends
// the process where there is none.
constexpr std::size_t kLeastRefused = 1024;

std::atomic<int> armed{-1};
std::atomic<std::int64_t> left{0};
std::atomic<std::int64_t> requests{0};

bool fails(Fault fault) {
  if (armed.load(std::memory_order_relaxed) != static_cast<int>(fault)) {
    return false;
  }
  ++requests;
  return --left == 0;
}

bool fails(Fault fault, int reason) {
  const bool is_due = fails(fault);
  if (is_due) {
    errno = reason;
  }
  return is_due;
}

/// The function that the one of this name here stands before.
template <class Function>
Function* behind(Function* /*type*/, const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

void* allocate(std::size_t bytes, std::size_t alignment) {
  void* memory = nullptr;
  if (bytes < kLeastRefused || !fails(Fault::allocation)) {
    const std::size_t size = bytes == 0 ? 1 : bytes;
    memory = alignment == 0
                 ? std::malloc(size)
                 : std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  }
  if (memory == nullptr) {
    throw std::bad_alloc();
  }
  return memory;
}

}  // namespace

const char* name_of(Fault fault) {
  constexpr const char* kNames[] = {"allocation", "open",   "stat",  "write",
                                    "sync",       "rename", "thread"};
  return kNames[static_cast<int>(fault)];
}

FaultScope::FaultScope(Fault fault, std::int64_t at) {
  left = at;
  requests = 0;
  armed = static_cast<int>(fault);
}

FaultScope::~FaultScope() { armed = -1; }

std::int64_t FaultScope::count() const { return requests; }

}  // namespace cks::testing

using cks::testing::behind;
using cks::testing::fails;
using cks::testing::Fault;

// Arrays and nothrow forms call these.
void* operator new(std::size_t bytes) { return cks::testing::allocate(bytes, 0); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return cks::testing::allocate(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

extern "C" {

int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  static const auto next = behind(&open, "open");
  return fails(Fault::open, EMFILE) ? -1 : next(path, flags, mode);
}

int fstat(int file, struct stat* info) noexcept {
  static const auto next = behind(&fstat, "fstat");
  return fails(Fault::stat, EIO) ? -1 : next(file, info);
}

std::FILE* fopen64(const char* path, const char* mode) {
  static const auto next = behind(&std::fopen, "fopen64");
  return fails(Fault::open, EMFILE) ? nullptr : next(path, mode);
}

std::FILE* fopen(const char* path, const char* mode) { return fopen64(path, mode); }

/// Half of the bytes come to the disk.
ssize_t write(int file, const void* bytes, std::size_t count) {
  static const auto next = behind(&write, "write");
  if (fails(Fault::write, ENOSPC)) {
    static_cast<void>(next(file, bytes, count / 2));
    errno = ENOSPC;
    return -1;
  }
  return next(file, bytes, count);
}

ssize_t writev(int file, const iovec* parts, int count) {
  static const auto next = behind(&writev, "writev");
  return fails(Fault::write, ENOSPC) ? -1 : next(file, parts, count);
}

int fsync(int file) {
  static const auto next = behind(&fsync, "fsync");
  return fails(Fault::sync, EIO) ? -1 : next(file);
}

int rename(const char* from, const char* to) {
  static const auto next = behind(&std::rename, "rename");
  return fails(Fault::rename, EACCES) ? -1 : next(from, to);
}

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*body)(void*),
                   void* argument) {
  static const auto next = behind(&pthread_create, "pthread_create");
  return fails(Fault::thread) ? EAGAIN : next(thread, attributes, body, argument);
}
}
