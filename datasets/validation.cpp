#include "cks/datasets/validation.h"

#include <algorithm>
#include <vector>

#include "cks/core/error.h"
#include "cks/datasets/share_out_impl.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks {
namespace {

constexpr const char* kOp = "cut_validation";

}  // namespace

TrainTest cut_validation(TrainTest data, const ValidationOptions& options) {
  if (!(options.share > 0.0 && options.share < 1.0)) {
    throw Error(
        formatted("{}: share is {:g}, expected a number between 0 and 1", kOp, options.share));
  }
  if (data.val) {
    throw Error(formatted("{}: the data have a validation half of their own, of {} images", kOp,
                          data.val->size()));
  }
  // Images with masks are of one class.
  const std::vector<std::int64_t> labels =
      data.train.has_masks()
          ? std::vector<std::int64_t>(static_cast<std::size_t>(data.train.size()), 0)
          : data.train.labels.to_vector<std::int64_t>();
  std::vector<std::vector<std::int64_t>> of_class(data.train.class_names.size());
  for (std::size_t i = 0; i < labels.size(); ++i) {
    of_class[static_cast<std::size_t>(labels[i])].push_back(static_cast<std::int64_t>(i));
  }
  std::vector<std::int64_t> kept;
  std::vector<std::int64_t> moved;
  for (std::size_t c = 0; c < of_class.size(); ++c) {
    share_out<std::int64_t>(of_class[c], options.share,
                            make_random_key(options.seed, RandomPurpose::data,
                                            std::string(kOp) + "." + data.train.class_names[c]),
                            kept, moved);
  }
  std::sort(kept.begin(), kept.end());
  std::sort(moved.begin(), moved.end());
  if (moved.empty()) {
    throw Error(
        formatted("{}: {} has one training image a class, expected at least two in one "
                  "class, as one goes to the validation half",
                  kOp, data.train.name));
  }
  data.val = data.train.select(moved);
  data.val->source.warning.clear();  // the training half says it
  data.val->source.skipped.clear();
  data.train = data.train.select(kept);
  set_statistics(data);
  return data;
}

}  // namespace cks
