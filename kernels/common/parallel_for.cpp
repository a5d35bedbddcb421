#include "cks/kernels/common/parallel_for.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "cks/kernels/common/error.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks::kernels {
namespace {

thread_local bool inside_body = false;

/// A moment without work for the core.
void relax_core() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

/// One job at a time: its blocks are handed out through a counter.
class ThreadPool {
 public:
  /// Never destroyed: a detached thread may still compute while the process ends. A child of fork()
  /// has none of its parent's workers, and perhaps locks that they held: it gets a pool of its own.
  static ThreadPool& instance() {
    static const bool is_made = [] {
      pool_ = new ThreadPool(nullptr);
      pthread_atfork(nullptr, nullptr, [] { pool_ = new ThreadPool(pool_); });
      return true;
    }();
    static_cast<void>(is_made);
    return *pool_;
  }

  int threads() const { return threads_.load(); }

  void set_threads(int count) {
    const std::lock_guard job_lock(job_mutex_);
    if (count != threads_.load()) {
      stop();
      threads_ = count;
    }
  }

  /// False if another thread's job has the pool.
  bool try_run(std::int64_t blocks, const BlockBody& body) {
    const std::unique_lock job_lock(job_mutex_, std::try_to_lock);
    if (!job_lock.owns_lock()) {
      return false;
    }
    start();
    {
      const std::lock_guard lock(mutex_);
      body_ = &body;
      blocks_ = blocks;
      next_ = 0;
      error_ = nullptr;
      ++generation_;
    }
    wake_.notify_all();
    work(body, blocks);
    {
      const std::lock_guard lock(mutex_);
      body_ = nullptr;  // who has not woken by now is not waited for: others may hold its core
    }
    const std::unique_lock lock = wait(done_, [this] { return busy_workers_ == 0; });
    if (error_) {
      std::rethrow_exception(error_);
    }
    return true;
  }

 private:
  explicit ThreadPool(const ThreadPool* parents) : parents_(parents) {
    const unsigned cores = std::thread::hardware_concurrency();
    threads_ = parents != nullptr ? parents->threads() : std::max(1, static_cast<int>(cores));
  }

  void start() {
    while (static_cast<int>(workers_.size()) < threads_.load() - 1) {
      try {
        workers_.emplace_back([this, seen = generation_.load()] { worker_loop(seen); });
      } catch (const std::system_error&) {  // the system gives no more; results are the same
        threads_ = static_cast<int>(workers_.size()) + 1;
      }
    }
  }

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) {
      worker.join();
    }
    workers_.clear();
    stopping_ = false;
  }

  /// Waits until `ready`, which reads atomics, and returns the lock of mutex_. The next job of a
  /// training step mostly comes within microseconds, less than it takes to wake a thread, so it
  /// asks for some tens of them first. It does not yield: on a busy machine that costs a time
  /// slice.
  template <class Ready>
  std::unique_lock<std::mutex> wait(std::condition_variable& changed, Ready ready) {
    constexpr int kPauses = 1000;
    for (int i = 0; i < kPauses && !ready(); ++i) {
      relax_core();
    }
    std::unique_lock lock(mutex_);
    changed.wait(lock, ready);
    return lock;
  }

  void worker_loop(std::uint64_t seen) {
    while (true) {
      const BlockBody* body = nullptr;
      std::int64_t blocks = 0;
      {
        const auto lock = wait(wake_, [&] { return stopping_ || generation_ != seen; });
        if (stopping_) {
          return;
        }
        seen = generation_;
        if (body_ == nullptr) {
          continue;  // the job is done
        }
        body = body_;
        blocks = blocks_;
        ++busy_workers_;
      }
      work(*body, blocks);
      const std::lock_guard lock(mutex_);
      if (--busy_workers_ == 0) {
        done_.notify_one();
      }
    }
  }

  void work(const BlockBody& body, std::int64_t blocks) {
    inside_body = true;
    for (std::int64_t block = next_++; block < blocks; block = next_++) {
      try {
        body(block);
      } catch (...) {
        const std::lock_guard lock(mutex_);
        if (!error_) {
          error_ = std::current_exception();
        }
        next_ = blocks;
      }
    }
    inside_body = false;
  }

  static inline ThreadPool* pool_ = nullptr;
  // Of the process that forked; kept, so that it is no leak.
  [[maybe_unused]] const ThreadPool* parents_;
  std::atomic<int> threads_{1};
  std::mutex job_mutex_;  // held for the length of a job
  std::mutex mutex_;      // guards what follows
  std::condition_variable wake_;
  std::condition_variable done_;
  std::vector<std::thread> workers_;
  const BlockBody* body_ = nullptr;  // of the job that workers may join
  std::int64_t blocks_ = 0;
  std::atomic<std::int64_t> next_{0};
  std::exception_ptr error_;
  std::atomic<int> busy_workers_{0};
  std::atomic<std::uint64_t> generation_{0};
  std::atomic<bool> stopping_{false};
};

}  // namespace

int num_threads() { return ThreadPool::instance().threads(); }

void set_num_threads(int count) {
  if (count < 1) {
    throw Error(formatted("set_num_threads: count must be at least 1, got {}", count));
  }
  ThreadPool::instance().set_threads(count);
}

void parallel_for(std::int64_t blocks, BlockBody body) {
  const bool alone = blocks <= 1 || inside_body || num_threads() == 1;
  if (!alone && ThreadPool::instance().try_run(blocks, body)) {
    return;
  }
  for (std::int64_t block = 0; block < blocks; ++block) {
    body(block);
  }
}

}  // namespace cks::kernels
