#include "apps/run/ranks.h"

#include <algorithm>
#include <sstream>

#include "apps/cli/program.h"
#include "cks/core/device/cuda.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/lists_impl.h"
#include "cks/train/number_text_impl.h"

namespace cks::apps {
namespace {

constexpr const char* kAll = "all";

/// The number that --gpus says; nothing for "all".
std::optional<int> parse_gpus(const std::string& text) {
  if (text == kAll) {
    return std::nullopt;
  }
  int count = 0;
  if (!detail::parse_number(text, count) || count < 1) {
    throw Error(formatted("'{}' is neither all nor a number of at least 1", text));
  }
  return count;
}

/// The GPUs of --gpus, all of which can be used.
std::vector<Device> take_gpus(const std::string& text) {
  const int there = cuda_device_count();
  if (there == 0) {
    throw DeviceError(formatted("--gpus {}: {}", text, why_not_usable(Device::cuda())));
  }
  const int count = parse_gpus(text).value_or(there);
  if (count > there) {
    throw DeviceError(formatted("--gpus {}: there {} {} CUDA device{} on this machine", text,
                                there == 1 ? "is" : "are", there, there == 1 ? "" : "s"));
  }
  if (count > 1 && !has_nccl()) {
    throw DeviceError(
        formatted("--gpus {}: several GPUs need NCCL, which this build has not (configure with "
                  "-DCKS_WITH_NCCL=ON)",
                  text));
  }
  std::vector<Device> devices;
  devices.reserve(static_cast<std::size_t>(count));
  for (int index = 0; index < count; ++index) {
    devices.push_back(Device::cuda(index));
  }
  return devices;
}

/// Everything between the GPUs of this process, each once.
std::string links_of(int gpus) {
  std::vector<std::string> links;
  for (int a = 0; a < gpus; ++a) {
    for (int b = 0; b < a; ++b) {
      const std::string link = cuda_link(Device::cuda(a), Device::cuda(b));
      if (!contains(links, link)) {
        links.push_back(link);
      }
    }
  }
  return list_text(links);
}

}  // namespace

void add_rank_flags(Flags& flags, RankFlags& values) {
  flags.group("Several GPUs or processes");
  flags.add("gpus", values.gpus,
            std::string("GPUs of this machine that share each batch: N or all") +
                (has_nccl() ? "" : "; this build has no NCCL, which more than one need") +
                (has_mpi() ? ". mpirun and srun start a process for each GPU, or for some cores, "
                             "instead"
                           : ". mpirun and srun need a build with MPI, which this one is not"),
            [](const std::string& text) { parse_gpus(text); });
  flags.add_switch("sync-bn", values.sync_batch_norm,
                   "batch normalisation takes its statistics from the whole batch, as on one GPU, "
                   "not from each rank's share");
  constexpr double kLongest = 86400.0;
  flags.add("rank-timeout", values.timeout,
            "seconds after which a rank that is silent, or that the others wait for, is given up "
            "and the run ends",
            1.0, kLongest);
  flags.excludes("gpus", "device");
}

Ranks::Ranks(const RankFlags& flags) : flags_(flags) {
  if (launched_processes() > 1) {
    if (flags.gpus != "1") {
      throw UsageError(formatted(
          "--gpus {} is for one process; mpirun or srun has started {}, each of which takes one "
          "GPU: leave it out",
          flags.gpus, launched_processes()));
    }
    processes_.emplace(join_processes({.timeout_seconds = flags.timeout}));
  }
}

void Ranks::share(Flags& parser) {
  if (!processes_) {
    return;
  }
  std::string text;  // not JSON: a path may hold any bytes
  for (const auto& [name, value] : parser.values()) {
    text.append(name).append(1, '\0').append(value).append(1, '\0');
  }
  std::istringstream words(processes_->broadcast(text));
  for (std::string name, value; !is_first() && std::getline(words, name, '\0');) {
    std::getline(words, value, '\0');
    parser.set(name, value);
  }
}

ChosenDevice Ranks::take_devices(const std::string& device_flag) {
  if (!processes_) {
    if (flags_.gpus == "1") {
      ChosenDevice chosen = take_device(device_flag);
      devices_ = {chosen.device};
      return chosen;
    }
    devices_ = take_gpus(flags_.gpus);
    ChosenDevice chosen = take_device(devices_.front().to_string());
    for (std::size_t i = 1; i < devices_.size(); ++i) {
      const std::string name = cuda_device_info(devices_[i]).name;
      chosen.why += formatted("; {}, {}", devices_[i].to_string(), name);
    }
    chosen.fields["gpus"] = std::to_string(devices_.size());
    return chosen;
  }
  std::string wanted = device_flag;
  if (const int count = cuda_device_count();
      count > 0 && (device_flag == "auto" || device_flag == "cuda")) {
    // A launcher may show each process a GPU of its own, or all of them to each.
    const Device mine = Device::cuda(processes_->local_rank() % count);
    if (device_flag == "cuda" || why_not_usable(mine).empty()) {
      wanted = mine.to_string();
    }
  }
  ChosenDevice chosen = take_device(wanted);
  try {
    processes_->use_device(chosen.device);
  } catch (DeviceError& error) {
    error.append("\n  --device cpu trains on the processors");
    throw;
  }
  devices_ = {chosen.device};
  return chosen;
}

int Ranks::on_this_cpu() const {
  return processes_ && processes_->device().is_cpu() ? processes_->local_size() : 1;
}

void Ranks::run(const std::function<void(Communicator&)>& body) {
  if (processes_) {
    body(*processes_);
  } else {
    run_ranks(devices_, body, {.timeout_seconds = flags_.timeout});
  }
}

void Ranks::fail(const std::string& why) {
  if (processes_) {
    processes_->fail(why);
  }
}

std::string describe_ranks(const Communicator& ranks, std::int64_t batch_size,
                           bool sync_batch_norm) {
  std::string text = formatted("{} ({})", ranks.size(), ranks.backend());
  if (ranks.local_size() < ranks.size()) {
    text += formatted(", {} of them on this machine", ranks.local_size());
  }
  text += formatted(", {} images of a batch each", batch_size / ranks.size());
  if (const int gpus = std::min(ranks.local_size(), cuda_device_count());
      ranks.device().is_cuda() && gpus > 1) {
    text += ", linked by " + links_of(gpus);
  }
  return text + (sync_batch_norm ? "; batch norm over the whole batch"
                                 : "; batch norm over each rank's share");
}

}  // namespace cks::apps
