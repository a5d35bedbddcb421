#include "cks/train/metrics.h"

#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "cks/kernels/common/formatted_impl.h"

namespace cks {
namespace {

std::vector<std::int64_t> label_values(const char* operation, const Tensor& logits,
                                       const Tensor& labels) {
  if (logits.rank() != 2 || labels.rank() != 1 || labels.size(0) != logits.size(0)) {
    throw ShapeError(
        formatted("{}: logits must be [N,classes] and labels [N], got logits {}, labels {}",
                  operation, logits.shape(), labels.shape()));
  }
  if (labels.dtype() != DType::int64 && labels.dtype() != DType::int32) {
    throw DtypeError(
        formatted("{}: labels must be int64 or int32, got {}", operation, labels.dtype()));
  }
  return labels.to(DType::int64).to_vector<std::int64_t>();
}

/// Quoted where it holds what separates cells.
std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) {
    return text;
  }
  std::string cell = "\"";
  for (const char c : text) {
    cell += c == '"' ? "\"\"" : std::string(1, c);
  }
  return cell + "\"";
}

void require_labels(const char* operation, const std::vector<std::int64_t>& labels,
                    std::int64_t classes) {
  for (const std::int64_t label : labels) {
    if (label < 0 || label >= classes) {
      throw Error(formatted("{}: label {} is outside [0, {})", operation, label, classes));
    }
  }
}

/// 0 of nothing.
template <class Number>
double ratio(Number part, std::int64_t all) {
  return all == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(all);
}

/// Sum of count(c) over the classes.
template <class Count>
std::int64_t sum_over(std::int64_t classes, Count&& count) {
  std::int64_t sum = 0;
  for (std::int64_t c = 0; c < classes; ++c) {
    sum += count(c);
  }
  return sum;
}

}  // namespace

std::vector<std::int64_t> predicted_classes(const Tensor& logits) {
  if (logits.rank() != 2 || logits.size(1) < 1) {
    throw ShapeError("predicted_classes: logits must be [N,classes], got " +
                     logits.shape().to_string());
  }
  const std::vector<float> values = logits.detach().to(DType::float32).to_vector<float>();
  const std::int64_t classes = logits.size(1);
  std::vector<std::int64_t> predicted(static_cast<std::size_t>(logits.size(0)));
  for (std::size_t row = 0; row < predicted.size(); ++row) {
    const auto begin = values.begin() + static_cast<std::int64_t>(row) * classes;
    predicted[row] = std::max_element(begin, begin + classes) - begin;
  }
  return predicted;
}

std::int64_t count_correct(const Tensor& logits, const Tensor& labels) {
  const std::vector<std::int64_t> truth = label_values("count_correct", logits, labels);
  const std::vector<std::int64_t> predicted = predicted_classes(logits);
  return std::inner_product(truth.begin(), truth.end(), predicted.begin(), std::int64_t{0},
                            std::plus<>(), std::equal_to<>());
}

std::int64_t count_in_top(const Tensor& logits, const Tensor& labels, std::int64_t k) {
  if (k < 1) {
    throw Error("count_in_top: k must be at least 1, got " + std::to_string(k));
  }
  const std::vector<std::int64_t> truth = label_values("count_in_top", logits, labels);
  const std::int64_t classes = logits.size(1);
  require_labels("count_in_top", truth, classes);
  const std::vector<float> values = logits.detach().to(DType::float32).to_vector<float>();
  std::int64_t found = 0;
  for (std::size_t i = 0; i < truth.size(); ++i) {
    const float* const row = values.data() + static_cast<std::int64_t>(i) * classes;
    const float own = row[truth[i]];
    std::int64_t rank = 0;
    for (std::int64_t c = 0; c < classes; ++c) {
      rank += row[c] > own || (row[c] == own && c < truth[i]) ? 1 : 0;
    }
    found += rank < k && !std::isnan(own) ? 1 : 0;
  }
  return found;
}

ConfusionMatrix::ConfusionMatrix(std::int64_t classes) : classes_(classes) {
  constexpr std::int64_t kMost = 1 << 15;  // its square takes 8 GiB
  if (classes < 1 || classes > kMost) {
    throw ShapeError(formatted("ConfusionMatrix: classes must be at {} {}, got {}",
                               classes < 1 ? "least" : "most", classes < 1 ? 1 : kMost, classes));
  }
  counts_.assign(static_cast<std::size_t>(classes * classes), 0);
}

void ConfusionMatrix::add(const Tensor& logits, const Tensor& labels) {
  const std::vector<std::int64_t> truth = label_values("ConfusionMatrix::add", logits, labels);
  if (logits.size(1) != classes_) {
    throw ShapeError(formatted("ConfusionMatrix::add: logits have {} classes, the matrix {}",
                               logits.size(1), classes_));
  }
  const std::vector<std::int64_t> predicted = predicted_classes(logits);
  require_labels("ConfusionMatrix::add", truth, classes_);
  for (std::size_t i = 0; i < truth.size(); ++i) {
    ++counts_[static_cast<std::size_t>(truth[i] * classes_ + predicted[i])];
  }
}

std::int64_t ConfusionMatrix::at(std::int64_t truth, std::int64_t predicted) const {
  if (truth < 0 || truth >= classes_ || predicted < 0 || predicted >= classes_) {
    throw ShapeError(formatted("ConfusionMatrix::at: ({}, {}) is outside {} classes", truth,
                               predicted, classes_));
  }
  return counts_[static_cast<std::size_t>(truth * classes_ + predicted)];
}

std::int64_t ConfusionMatrix::images_of(std::int64_t truth) const {
  return sum_over(classes_, [&](std::int64_t predicted) { return at(truth, predicted); });
}

double ConfusionMatrix::accuracy_of(std::int64_t truth) const {
  const std::int64_t images = images_of(truth);
  return ratio(at(truth, truth), images);
}

std::int64_t ConfusionMatrix::total() const {
  return std::accumulate(counts_.begin(), counts_.end(), std::int64_t{0});
}

std::int64_t ConfusionMatrix::correct() const {
  return sum_over(classes_, [&](std::int64_t c) { return at(c, c); });
}

double ConfusionMatrix::accuracy() const { return ratio(correct(), total()); }

double ConfusionMatrix::balanced_accuracy() const {
  double sum = 0.0;
  std::int64_t with_images = 0;
  for (std::int64_t truth = 0; truth < classes_; ++truth) {
    sum += accuracy_of(truth);
    with_images += images_of(truth) > 0 ? 1 : 0;
  }
  return ratio(sum, with_images);
}

double ConfusionMatrix::mean_iou() const {
  double sum = 0.0;
  std::int64_t present = 0;
  for (std::int64_t c = 0; c < classes_; ++c) {
    const std::int64_t either =
        images_of(c) - at(c, c) + sum_over(classes_, [&](std::int64_t t) { return at(t, c); });
    sum += ratio(at(c, c), either);
    present += either > 0 ? 1 : 0;
  }
  return ratio(sum, present);
}

std::vector<std::int64_t> ConfusionMatrix::never_predicted() const {
  std::vector<std::int64_t> never;
  for (std::int64_t c = 0; c < classes_; ++c) {
    if (sum_over(classes_, [&](std::int64_t truth) { return at(truth, c); }) == 0) {
      never.push_back(c);
    }
  }
  return never;
}

std::string ConfusionMatrix::to_csv(const std::vector<std::string>& names) const {
  if (!names.empty() && names.size() != static_cast<std::size_t>(classes_)) {
    throw ShapeError(
        formatted("ConfusionMatrix::to_csv: {} names for {} classes", names.size(), classes_));
  }
  const auto name = [&](std::int64_t c) {
    return names.empty() ? std::to_string(c) : csv_cell(names[static_cast<std::size_t>(c)]);
  };
  std::string csv = "truth";
  for (std::int64_t c = 0; c < classes_; ++c) {
    csv += "," + name(c);
  }
  for (std::int64_t truth = 0; truth < classes_; ++truth) {
    csv += "\n" + name(truth);
    for (std::int64_t predicted = 0; predicted < classes_; ++predicted) {
      csv += "," + std::to_string(at(truth, predicted));
    }
  }
  return csv + "\n";
}

void RunningMetrics::add(double mean_loss_of_batch, std::int64_t correct_in_batch,
                         std::int64_t batch_images) {
  loss_sum += mean_loss_of_batch * static_cast<double>(batch_images);
  correct += correct_in_batch;
  images += batch_images;
}

double RunningMetrics::mean_loss() const { return ratio(loss_sum, images); }

double RunningMetrics::accuracy() const { return ratio(correct, images); }

std::int64_t peak_resident_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return std::int64_t{1024} * usage.ru_maxrss;  // Linux counts KiB
}

}  // namespace cks
