#include "apps/run/results.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "apps/cli/program.h"
#include "apps/report/text_table.h"
#include "apps/run/tensorboard.h"
#include "cks/core/autograd/autograd.h"
#include "cks/core/io/file.h"
#include "cks/core/ops/rearrange.h"
#include "cks/core/ops/reduce.h"
#include "cks/core/ops/softmax.h"
#include "cks/datasets/images/image_write.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/lists_impl.h"
#include "cks/train/metrics.h"

namespace cks::apps {
namespace {

struct Mistake {
  float chance = 0.0F;  // that the model gave the class it took the image for
  std::int64_t image = 0, truth = 0, predicted = 0;
};

struct TestCounts {
  ConfusionMatrix confusion;
  std::int64_t top5_correct = 0;
  std::vector<Mistake> mistakes{};  // the surest first
};

constexpr std::size_t kMistakes = 24;  // that a report shows

/// Adds a batch's mistakes; of equal chances the earlier image comes first.
void add_mistakes(std::vector<Mistake>& all, const Tensor& output, const Batch& batch) {
  const Tensor chances = softmax(output.to(DType::float32));
  const auto predicted = argmax(chances).to_vector<std::int64_t>();
  const auto chance = max(chances, {-1}).to_vector<float>();
  const auto truth = batch.labels.to_vector<std::int64_t>();
  for (std::size_t i = 0; i < truth.size(); ++i) {
    if (predicted[i] != truth[i] && std::isfinite(chance[i])) {
      all.push_back({chance[i], batch.indices[i], truth[i], predicted[i]});
    }
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const Mistake& a, const Mistake& b) { return a.chance > b.chance; });
  all.resize(std::min(all.size(), kMistakes));
}

bool is_drawable(const ImageDataset& data) { return data.channels() == 1 || data.channels() == 3; }

PictureSheet mistakes_sheet(const std::vector<Mistake>& mistakes, const ImageDataset& data) {
  PictureSheet sheet{"Mistakes", "Test images of which the model was surest, and wrong.", {}};
  for (const Mistake& one : mistakes) {
    sheet.pictures.push_back(
        {encode_png(data.images[one.image]),
         formatted("{}, taken for {}, {}", data.class_names[static_cast<std::size_t>(one.truth)],
                   data.class_names[static_cast<std::size_t>(one.predicted)],
                   percent(static_cast<double>(one.chance)))});
  }
  return sheet;
}

PictureSheet augmented_sheet(const DataLoader& train_loader) {
  constexpr std::int64_t kImages = 12;
  constexpr std::int64_t kEpochs = 4;
  const ImageDataset data = train_loader.dataset().limit(kImages);
  const DataLoader augmented(data, {.batch_size = data.size(),
                                    .shuffle = false,
                                    .seed = train_loader.options().seed,
                                    .augment = train_loader.options().augment,
                                    .prefetch = 0});
  std::vector<Tensor> lines{data.images};
  for (std::int64_t epoch = 0; epoch < kEpochs; ++epoch) {
    lines.push_back(denormalised(augmented.make_batch(epoch, 0).images, data.mean, data.std));
  }
  return {"Augmented images",
          "The first training images as they are, and below as the first epochs saw them.",
          {{encode_png(picture_grid(concat(lines, 0), data.size()))}}};
}

TestCounts count_test(Module& model, DataLoader& loader) {
  const NoGradGuard no_grad;
  model.eval();
  const Device device = model.parameters().front().device();
  TestCounts counts{ConfusionMatrix(loader.dataset().classes())};
  for (const Batch& batch : loader.epoch(0)) {
    const Tensor output = model(batch.images.to(device));
    counts.confusion.add(output, batch.labels);
    counts.top5_correct += count_in_top(output, batch.labels, 5);
    add_mistakes(counts.mistakes, output, batch);
  }
  return counts;
}

/// As in a file of weights; undefined without a convolution, or where a weight is not finite, which
/// cannot be drawn.
Tensor drawable_filters(const Module& model, const ModelTable& layers) {
  const std::string key = first_filters(layers);
  for (const auto& [name, tensor] : model.state_dict()) {
    if (name == key) {
      const Tensor filters = tensor.to(Device::cpu());
      const std::vector<float> weights = filters.to(DType::float32).to_vector<float>();
      const auto is_finite = [](float weight) { return std::isfinite(weight); };
      return all_of(weights, is_finite) ? filters : Tensor();
    }
  }
  return {};
}

std::string number(double value, int digits) { return formatted("{:.{}f}", value, digits); }

/// "12.3 +- 0.4".
std::string mean_text(const std::vector<double>& values, int digits) {
  if (values.empty()) {
    return "-";
  }
  const MeanDeviation result = mean_deviation(values);
  return number(result.mean, digits) + " +- " + number(result.deviation, digits);
}

bool on_validation(const std::vector<FinishedRun>& runs) {
  return !runs.empty() && runs.front().summary.validation.has_value();
}

}  // namespace

Tensor denormalised(const Tensor& images, const std::vector<float>& mean,
                    const std::vector<float>& std) {
  const std::size_t channels = mean.size();
  if (images.rank() != 4 || images.size(3) != static_cast<std::int64_t>(channels) ||
      std.size() != channels) {
    throw ShapeError(
        formatted("denormalised: images must be [N,H,W,C] with a mean and a std for each of C, got "
                  "{}, {} means, {} stds",
                  images.shape(), channels, std.size()));
  }
  const std::vector<float> values = images.to_vector<float>();
  Tensor bytes = Tensor::empty(images.shape(), DType::uint8);
  auto* out = bytes.data_as<std::uint8_t>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    const float value = 255.0F * (values[i] * std[i % channels] + mean[i % channels]);
    // A NaN becomes black.
    out[i] = value > 0.0F ? static_cast<std::uint8_t>(std::lround(std::min(value, 255.0F))) : 0;
  }
  return bytes;
}

std::string never_predicted(const ConfusionMatrix& confusion,
                            const std::vector<std::string>& names) {
  return list_text(mapped(confusion.never_predicted(),
                          [&](std::int64_t c) { return names[static_cast<std::size_t>(c)]; }));
}

RunReport begin_report(const RunFolder& folder, const TrainSummary& summary, Module& model,
                       const ImageDataset& data, const std::string& model_name) {
  RunReport report{.model = model_name,
                   .dataset = data.name,
                   .summary = summary,
                   .rows = folder.read_metrics(),
                   .class_names = data.class_names,
                   .layers = trace_model(model, {1, data.height(), data.width(), data.channels()}),
                   .config = folder.read_config()};
  report.filters = drawable_filters(model, report.layers);
  return report;
}

std::optional<ConfusionMatrix> write_run_results(const RunFolder& folder, const FinishedRun& run,
                                                 Module& model, const DataLoader& train_loader,
                                                 DataLoader& test_loader, const TextFields& extra,
                                                 bool for_tensorboard) {
  RunReport report =
      begin_report(folder, run.summary, model, test_loader.dataset(), extra.at("model"));
  std::map<std::string, NumberFields> numbers;
  TextFields texts = extra;
  if (!run.summary.interrupted && run.summary.epochs > 0) {
    const std::vector<std::string>& names = test_loader.dataset().class_names;
    const auto [confusion, top5_correct, wrong] = count_test(model, test_loader);
    if (!wrong.empty() && is_drawable(test_loader.dataset())) {
      report.sheets.push_back(mistakes_sheet(wrong, test_loader.dataset()));
    }
    numbers["balanced"] = {{"accuracy", confusion.balanced_accuracy()}};
    texts["never_predicted"] = never_predicted(confusion, names);
    NumberFields& accuracies = numbers["class_accuracy"];  // of classes that have test images
    for (std::int64_t truth = 0; truth < confusion.classes(); ++truth) {
      if (confusion.images_of(truth) > 0) {
        accuracies[names[static_cast<std::size_t>(truth)]] = confusion.accuracy_of(truth);
      }
    }
    if (confusion.classes() > 5) {
      numbers["top_k_accuracy"] = {
          {"5", static_cast<double>(top5_correct) / static_cast<double>(confusion.total())}};
    }
    write_file_atomically(folder.file("confusion.csv"), confusion.to_csv(names));
    report.confusion = confusion;
  }
  if (train_loader.options().augment != ImageAugmentation{} &&
      is_drawable(train_loader.dataset())) {
    report.sheets.push_back(augmented_sheet(train_loader));
  }
  write_report(folder, report);
  if (for_tensorboard) {
    send_pictures_to_tensorboard(folder, report);
  }
  // Last: it says that the run is done.
  write_summary(folder.summary_file(), run.summary, texts, numbers);
  return report.confusion;
}

std::optional<FinishedRun> read_if_done(const RunFolder& folder, std::int64_t epochs,
                                        std::int64_t seed) {
  std::error_code ignored;
  if (!std::filesystem::exists(folder.summary_file(), ignored)) {
    return std::nullopt;
  }
  const TrainSummary summary = read_summary(folder.summary_file());
  if (summary.interrupted || !(summary.stopped_early || summary.epochs >= epochs)) {
    return std::nullopt;
  }
  return FinishedRun{seed, folder.path(), summary, folder.read_metrics()};
}

MeanDeviation mean_deviation(const std::vector<double>& values) {
  if (values.empty()) {
    throw Error("mean_deviation: there are no values");
  }
  const auto count = static_cast<double>(values.size());
  MeanDeviation result{.mean = std::accumulate(values.begin(), values.end(), 0.0) / count};
  double squares = 0.0;
  for (const double value : values) {
    squares += (value - result.mean) * (value - result.mean);
  }
  result.deviation = values.size() == 1 ? 0.0 : std::sqrt(squares / (count - 1.0));
  return result;
}

double seconds_to(double target, const std::vector<EpochMetrics>& rows) {
  const auto reached = std::find_if(rows.begin(), rows.end(), [&](const EpochMetrics& row) {
    return row.test_accuracy >= target;
  });
  return reached == rows.end() ? -1.0 : reached->seconds;
}

std::string runs_table(const std::vector<FinishedRun>& runs, double target) {
  const bool validates = on_validation(runs);
  std::vector<std::string> header{"seed", validates ? "test %" : "last test %",
                                  validates ? "best validation %" : "best test %", "seconds"};
  if (target > 0.0) {  // without it the table leaves its cells out
    header.push_back("seconds to " + percent(target));
  }
  TextTable table(header, {true, true, true, true, true});
  std::vector<double> last;
  std::vector<double> best;
  std::vector<double> seconds;
  std::vector<double> to_target;
  for (const FinishedRun& run : runs) {
    last.push_back(100.0 * run.summary.test_accuracy);
    best.push_back(100.0 * run.summary.best_accuracy());
    seconds.push_back(run.summary.seconds);
    const double reached = seconds_to(target, run.rows);
    if (reached >= 0.0) {
      to_target.push_back(reached);
    }
    table.add({std::to_string(run.seed), number(last.back(), 2), number(best.back(), 2),
               number(seconds.back(), 1), reached < 0.0 ? "never" : number(reached, 1)});
  }
  table.rule();
  table.add({"mean +- deviation", mean_text(last, 2), mean_text(best, 2), mean_text(seconds, 1),
             mean_text(to_target, 1)});
  return table.to_string() + (target > 0.0
                                  ? formatted("{} of {} runs reached {}\n", to_target.size(),
                                              runs.size(), percent(target))
                                  : "");
}

std::string runs_csv(const std::vector<FinishedRun>& runs, double target) {
  std::string text = formatted("seed,test_acc,best_{}_acc,seconds,seconds_to_target,folder\n",
                               on_validation(runs) ? "val" : "test");
  for (const FinishedRun& run : runs) {
    const double reached = target > 0.0 ? seconds_to(target, run.rows) : -1.0;
    text += formatted("{},{:.17g},{:.17g},{:.17g},{},{}\n", run.seed, run.summary.test_accuracy,
                      run.summary.best_accuracy(), run.summary.seconds,
                      reached < 0.0 ? "" : formatted("{:.17g}", reached), quoted_cell(run.folder));
  }
  return text;
}

}  // namespace cks::apps
