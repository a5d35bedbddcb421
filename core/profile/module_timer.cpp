#include "cks/core/profile/module_timer.h"

#include <algorithm>
#include <exception>

#include "cks/core/profile/device_timer.h"
#include "cks/core/profile/module_path.h"

namespace cks {
namespace {

ModuleTime& entry_of(std::vector<ModuleTime>& times, const std::string& path) {
  const auto found = std::find_if(times.begin(), times.end(),
                                  [&](const ModuleTime& time) { return time.module_path == path; });
  return found == times.end() ? times.emplace_back(ModuleTime{.module_path = path}) : *found;
}

}  // namespace

void merge_module_times(std::vector<ModuleTime>& into, const std::vector<ModuleTime>& from) {
  for (const ModuleTime& time : from) {
    ModuleTime& sum = entry_of(into, time.module_path);
    sum.forward += time.forward;
    sum.backward += time.backward;
  }
}

/// A stretch lasts from one change of module to the next.
class ModuleTimer::Implementation : public ModulePathObserver {
 public:
  explicit Implementation(Device device) : device_(device) {
    begin(current_module_path(), ModulePass::forward);
    outer_ = exchange_module_path_observer(this);
  }
  ~Implementation() override { exchange_module_path_observer(outer_); }
  Implementation(const Implementation&) = delete;
  Implementation& operator=(const Implementation&) = delete;

  void moved(const std::string& path, ModulePass pass) noexcept override {
    if (failure_) {
      return;
    }
    try {
      stretches_[used_ - 1].timer->stop();
      begin(path, pass);
    } catch (...) {  // a scope's end must not throw: times() does
      failure_ = std::current_exception();
    }
  }

  std::vector<ModuleTime> times() {
    if (failure_) {
      std::rethrow_exception(failure_);
    }
    stretches_[used_ - 1].timer->stop();
    for (std::size_t i = 0; i < used_; ++i) {
      const Stretch& stretch = stretches_[i];
      ModuleTime& sum = entry_of(sums_, stretch.path);
      (stretch.pass == ModulePass::forward ? sum.forward : sum.backward) +=
          stretch.timer->seconds();
    }
    const std::string path = stretches_[used_ - 1].path;
    const ModulePass pass = stretches_[used_ - 1].pass;
    used_ = 0;
    begin(path, pass);
    return sums_;
  }

 private:
  struct Stretch {
    std::string path;
    ModulePass pass = ModulePass::forward;
    std::unique_ptr<DeviceTimer> timer;
  };

  void begin(const std::string& path, ModulePass pass) {
    if (used_ == stretches_.size()) {
      stretches_.emplace_back().timer = std::make_unique<DeviceTimer>(device_);
    }
    Stretch& stretch = stretches_[used_];
    stretch.path = path;
    stretch.pass = pass;
    stretch.timer->start();
    ++used_;
  }

  Device device_;
  ModulePathObserver* outer_ = nullptr;
  std::vector<Stretch> stretches_;  // the first used_ of them are measured, the last of these runs
  std::size_t used_ = 0;
  std::vector<ModuleTime> sums_;
  std::exception_ptr failure_;
};

ModuleTimer::ModuleTimer(Device device)
    : implementation_(std::make_unique<Implementation>(device)) {}

ModuleTimer::~ModuleTimer() = default;

std::vector<ModuleTime> ModuleTimer::times() { return implementation_->times(); }

}  // namespace cks
