#include "apps/run/run_results.h"

#include <map>
#include <string>
#include <vector>

#include "apps/report/chart.h"
#include "apps/report/picture.h"
#include "cks/core/autograd/autograd.h"
#include "cks/core/io/file.h"
#include "cks/train/metrics.h"

namespace cks::apps {
namespace {

struct TestCounts {
  ConfusionMatrix confusion;
  std::int64_t top5_correct = 0;
};

TestCounts count_test(Module& model, DataLoader& loader) {
  const NoGradGuard no_grad;
  model.eval();
  const Device device = model.parameters().front().device();
  TestCounts counts{ConfusionMatrix(loader.dataset().classes())};
  for (const Batch& batch : loader.epoch(0)) {
    const Tensor output = model(batch.images.to(device));
    counts.confusion.add(output, batch.labels);
    counts.top5_correct += count_in_top(output, batch.labels, 5);
  }
  return counts;
}

/// By class name, of the classes that have test images.
NumberFields class_accuracies(const ConfusionMatrix& confusion,
                              const std::vector<std::string>& names) {
  NumberFields accuracies;
  for (std::int64_t truth = 0; truth < confusion.classes(); ++truth) {
    std::int64_t images = 0;
    for (std::int64_t predicted = 0; predicted < confusion.classes(); ++predicted) {
      images += confusion.at(truth, predicted);
    }
    if (images > 0) {
      accuracies[names[static_cast<std::size_t>(truth)]] =
          static_cast<double>(confusion.at(truth, truth)) / static_cast<double>(images);
    }
  }
  return accuracies;
}

}  // namespace

void write_run_results(const RunFolder& folder, const FinishedRun& run, Module& model,
                       DataLoader& test_loader, const TextFields& extra) {
  std::map<std::string, NumberFields> numbers;
  if (!run.summary.interrupted && run.summary.epochs > 0) {
    const std::vector<std::string>& names = test_loader.dataset().class_names;
    const auto [confusion, top5_correct] = count_test(model, test_loader);
    numbers["class_accuracy"] = class_accuracies(confusion, names);
    if (confusion.classes() > 5) {
      numbers["top_k_accuracy"] = {
          {"5", static_cast<double>(top5_correct) / static_cast<double>(confusion.total())}};
    }
    write_file_atomically(folder.file("confusion.csv"), confusion.to_csv());
    write_png(folder.file("confusion.png"), draw_confusion(confusion, names));
  }
  if (!run.rows.empty()) {
    write_png(folder.file("curves.png"), draw_curves(run.rows));
  }
  // Last: it says that the run is done.
  write_summary(folder.summary_file(), run.summary, extra, numbers);
}

}  // namespace cks::apps
