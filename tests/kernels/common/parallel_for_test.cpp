#include "cks/kernels/common/parallel_for.h"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <iostream>
#include <thread>
#include <vector>

#include "cks/kernels/common/error.h"

namespace cks::kernels {
namespace {

/// Restores the number of threads when a test ends.
struct ThreadCount {
  int before = num_threads();
  ~ThreadCount() { set_num_threads(before); }
};

TEST_CASE("parallel_for runs each block exactly once for every number of threads") {
  const ThreadCount restore;
  for (const int threads : {1, 2, 5, 8}) {
    set_num_threads(threads);
    for (const std::int64_t blocks : {0, 1, 2, 3, 7, 1000}) {
      std::vector<std::atomic<int>> hits(static_cast<std::size_t>(blocks));
      parallel_for(blocks, [&](std::int64_t block) { ++hits[static_cast<std::size_t>(block)]; });
      for (const auto& hit : hits) {
        CHECK(hit == 1);
      }
    }
  }
}

TEST_CASE("parallel_for_ranges cuts by the grain alone") {
  const ThreadCount restore;
  set_num_threads(3);
  std::vector<std::atomic<int>> hits(10);
  std::atomic<int> ranges{0};
  parallel_for_ranges(10, 4, [&](std::int64_t begin, std::int64_t end) {
    ++ranges;
    CHECK(begin % 4 == 0);
    for (std::int64_t i = begin; i < end; ++i) {
      ++hits[static_cast<std::size_t>(i)];
    }
  });
  CHECK(ranges == 3);
  for (const auto& hit : hits) {
    CHECK(hit == 1);
  }
}

TEST_CASE("an exception of a body reaches the caller and the pool stays usable") {
  const ThreadCount restore;
  set_num_threads(4);
  for (int repeat = 0; repeat < 20; ++repeat) {
    CHECK_THROWS_AS(parallel_for(100,
                                 [](std::int64_t block) {
                                   if (block == 37) {
                                     throw Error("block 37");
                                   }
                                 }),
                    Error);
    std::atomic<int> sum{0};
    parallel_for(100, [&](std::int64_t) { ++sum; });
    CHECK(sum == 100);
  }
}

TEST_CASE("a nested call runs on the calling thread") {
  const ThreadCount restore;
  set_num_threads(4);
  std::atomic<int> sum{0};
  parallel_for(8, [&](std::int64_t) {
    const auto self = std::this_thread::get_id();
    parallel_for(5, [&](std::int64_t) {
      CHECK(std::this_thread::get_id() == self);
      ++sum;
    });
  });
  CHECK(sum == 40);
}

TEST_CASE("several threads may call it at the same time") {
  const ThreadCount restore;
  set_num_threads(3);
  std::atomic<int> sum{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&] {
      for (int repeat = 0; repeat < 50; ++repeat) {
        parallel_for(16, [&](std::int64_t) { ++sum; });
      }
    });
  }
  for (std::thread& caller : callers) {
    caller.join();
  }
  CHECK(sum == 4 * 50 * 16);
}

/// Whether a child process that runs `body` ends by itself, with exit code 0.
template <class Body>
bool child_ends(Body&& body) {
  std::cout.flush();  // the child would write it again
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);  // ends one that hangs
    body();
    std::exit(0);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void compute() {
  std::atomic<int> sum{0};
  parallel_for(100, [&](std::int64_t) { ++sum; });
  if (sum != 100) {
    std::abort();
  }
}

#if !defined(__SANITIZE_THREAD__)  // which lets no child of a process with threads start others
TEST_CASE("a child that is forked after the pool has started has a pool of its own") {
  const ThreadCount restore;
  set_num_threads(3);
  compute();
  CHECK(child_ends([] {
    if (num_threads() != 3) {
      std::abort();
    }
    compute();
    set_num_threads(2);
    compute();
    if (!child_ends(compute)) {
      std::abort();
    }
  }));
  compute();
}

#  if !defined(__SANITIZE_ADDRESS__)  // which takes all addresses there are
TEST_CASE("where the system gives fewer threads, those compute") {
  CHECK(child_ends([] {
    const rlimit few{.rlim_cur = std::size_t{1} << 30, .rlim_max = std::size_t{1} << 30};  // bytes
    setrlimit(RLIMIT_AS, &few);
    set_num_threads(4000);
    compute();
    if (num_threads() < 2 || num_threads() >= 4000) {
      std::abort();
    }
  }));
}
#  endif

TEST_CASE("a process ends while a detached thread computes") {
  for (int repeat = 0; repeat < 5; ++repeat) {
    CHECK(child_ends([] {
      set_num_threads(4);
      std::thread([] {
        while (true) {
          compute();
        }
      }).detach();
      usleep(20000);
    }));
  }
}
#endif

TEST_CASE("set_num_threads refuses less than one thread") {
  CHECK_THROWS_AS(set_num_threads(0), Error);
  CHECK_THROWS_AS(set_num_threads(-3), Error);
}

}  // namespace
}  // namespace cks::kernels
