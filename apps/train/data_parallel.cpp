#include <fstream>
#include <utility>

#include "cks/config.h"
#include "cks/core/io/checksum_impl.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/lists_impl.h"
#include "cks/kernels/common/math.h"
#include "cks/train/data_parallel_impl.h"

namespace cks::detail {
namespace {

void add(Checksum& sum, const std::string& text) { sum.add(text.data(), text.size()); }

void add(Checksum& sum, const Tensor& tensor) {
  add(sum, tensor.shape().to_string() + name_of(tensor.dtype()));
  const Tensor here = tensor.detach().to(Device::cpu());
  sum.add(here.data(), here.nbytes());
}

void add(Checksum& sum, const NamedTensors& tensors) {
  for (const auto& [name, tensor] : tensors) {
    add(sum, name);
    add(sum, tensor);
  }
}

/// Elements that a slot of so many takes: slots begin at 256 bytes.
std::int64_t aligned(std::int64_t elements) {
  return kernels::round_up<std::int64_t>(elements, 64);
}

/// Of the program's own file; of its version alone where that cannot be read.
Checksum program_sum() {
  Checksum sum;
  add(sum, CKS_VERSION);
  std::ifstream file("/proc/self/exe", std::ios::binary);
  std::vector<char> bytes(1 << 20);
  while (file) {
    file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    sum.add(bytes.data(), static_cast<std::size_t>(file.gcount()));
  }
  return sum;
}

Checksum data_sum(const TrainTask& task) {
  Checksum sum;
  for (const DataLoader* loader : {&task.train_loader, &task.test_loader, task.val_loader}) {
    if (loader != nullptr) {
      add(sum, loader->dataset().images);
      add(sum, loader->dataset().labels);
    }
  }
  return sum;
}

}  // namespace

DataParallel::DataParallel(const TrainTask& task, const TrainOptions& options, Device device)
    : ranks_(options.parallel.communicator != nullptr ? *options.parallel.communicator : alone_),
      options_(options.parallel),
      comes_in_pieces_(options.accumulation > 1),
      share_{ranks_.rank(), ranks_.size()},
      parameters_(task.model.parameters()),
      stream_(is_alone() ? Stream::current(device) : Stream(device)) {
  const auto& [rank, ranks] = task.train_loader.options().share;
  if (rank != ranks_.rank() || ranks != ranks_.size()) {
    throw Error(formatted(
        "fit: the training loader makes the share of rank {} of {}, this is rank {} of {} "
        "(DataLoaderOptions::share, TrainOptions::parallel)",
        rank, ranks, ranks_.rank(), ranks_.size()));
  }
  if (is_alone()) {
    return;
  }
  if (!(ranks_.device() == device)) {
    throw DeviceError(formatted("fit: the model is on {}, rank {} on {}", device.to_string(),
                                ranks_.rank(), ranks_.device().to_string()));
  }
  std::int64_t elements = 0;
  for (const Tensor& parameter : parameters_) {
    is_parameter_.insert(parameter.impl().get());
    elements += aligned(parameter.numel());
    if (options_.registered_buffer && parameter.dtype() != DType::float32) {
      throw DtypeError(formatted("fit: registered_buffer takes parameters of float32, one is {}",
                                 name_of(parameter.dtype())));
    }
  }
  if (options_.registered_buffer) {
    buffer_ = ranks_.registered(elements);
  }
  for (const auto& [name, buffer] : task.model.named_buffers()) {
    if (!options_.sync_batch_norm && is_floating(buffer.dtype())) {
      statistics_.push_back(buffer);
    }
  }
}

void DataParallel::require_same_start(const TrainTask& task, const TextFields& identity) {
  if (is_alone()) {
    return;
  }
  Checksum model;
  add(model, task.model.state_dict());
  add(model, task.model.training_state());
  add(model, task.optimizer.state());
  Checksum options;
  for (const auto& [name, value] : identity) {
    add(options, formatted("{}={};", name, value));
  }
  add(options, formatted("{} {}", options_.sync_batch_norm, options_.bucket_bytes));
  std::vector<std::string> differing;
  int culprit = 0;
  for (const auto& [what, sum] :
       {std::pair("program", program_sum()), std::pair("model", model),
        std::pair("data", data_sum(task)), std::pair("options", options)}) {
    const std::vector<std::int64_t> sums =
        ranks_.all_gather(static_cast<std::int64_t>(sum.value()));
    for (int rank = 1; rank < ranks_.size(); ++rank) {
      if (sums[static_cast<std::size_t>(rank)] != sums[0] && (culprit == 0 || culprit == rank)) {
        culprit = rank;
        differing.emplace_back(what);
      }
    }
  }
  if (culprit != 0) {
    throw Error(formatted("fit: rank {} does not train the same as rank 0; it has another {}",
                          culprit, list_text(differing)));
  }
}

BatchPart DataParallel::part_of(std::int64_t total) {
  return {.first = share_.first(total),
          .statistics = options_.sync_batch_norm && !is_alone() ? &ranks_ : nullptr};
}

GradientListener* DataParallel::listener(StepResults& results) {
  results_ = &results;
  return is_alone() || comes_in_pieces_ ? nullptr : this;
}

void DataParallel::reduce(StepResults& results) {
  if (!is_alone() && comes_in_pieces_) {
    results_ = &results;
    for (const Tensor& parameter : parameters_) {
      if (Tensor gradient = parameter.grad(); gradient.defined()) {
        on_gradient(parameter, gradient);
      }
    }
    on_end();
  }
  for (Slot& slot : slots_) {
    slot.leaf.set_grad(slot.gradient);
  }
  slots_.clear();
}

void DataParallel::on_gradient(const Tensor& leaf, Tensor& gradient) {
  if (is_parameter_.count(leaf.impl().get()) == 0) {
    return;
  }
  if (buffer_.defined()) {
    Tensor slot = buffer_.slice(filled_, filled_ + gradient.numel()).reshape(gradient.shape());
    slot.copy_(gradient.detach());
    filled_ += aligned(gradient.numel());
    slots_.push_back({leaf, slot});
  } else {
    bucket_.push_back(gradient);
  }
  bucket_bytes_ += static_cast<std::int64_t>(gradient.nbytes());
  if (bucket_bytes_ >= options_.bucket_bytes) {
    send(bucket_);
  }
}

void DataParallel::on_end() {
  bucket_.push_back(results_->pending());
  send(bucket_, statistics_);
  Stream::current(stream_.device()).wait_for(stream_);
  sent_ = filled_ = 0;
}

void DataParallel::send(std::vector<Tensor>& sums, std::vector<Tensor> means) {
  if (filled_ > sent_) {
    sums.push_back(buffer_.slice(std::exchange(sent_, filled_), filled_));
  }
  stream_.wait_for(Stream::current(stream_.device()));
  const StreamGuard on_stream(stream_);
  ranks_.all_reduce(sums, means);
  sums.clear();
  bucket_bytes_ = 0;
}

bool DataParallel::any(bool yes) {
  return is_alone() ? yes : contains(ranks_.all_gather(yes ? 1 : 0), 1);
}

std::int64_t DataParallel::same(std::int64_t number) {
  Tensor shared = Tensor::from_vector(std::vector{number}, {});
  ranks_.broadcast(shared);
  return shared.to_vector<std::int64_t>().front();
}

NamedTensors DataParallel::shared(NamedTensors tensors) {
  for (auto& [name, tensor] : tensors) {
    ranks_.broadcast(tensor);
  }
  return tensors;
}

void DataParallel::share(Module& model) {
  if (!is_alone()) {
    model.load_state_dict(shared(model.state_dict()));
  }
}

void DataParallel::share(Module& model, Optimizer& optimizer, WeightAverage* average,
                         TrainState& state) {
  if (is_alone()) {
    return;
  }
  share(model);
  model.load_training_state(shared(model.training_state()));
  optimizer.load_state(shared(optimizer.state()));
  if (average != nullptr) {
    average->load_state(shared(average->state()));
  }
  state = parse_train_state(ranks_.broadcast(is_first() ? train_state_text(state) : ""));
}

}  // namespace cks::detail
