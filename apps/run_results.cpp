#include "apps/run_results.h"

#include "apps/chart.h"
#include "apps/picture.h"
#include "cks/core/autograd.h"
#include "cks/core/file.h"

namespace cks::apps {
namespace {

ConfusionMatrix count_confusion(Module& model, DataLoader& loader) {
  const NoGradGuard no_grad;
  model.eval();
  const Device device = model.parameters().front().device();
  ConfusionMatrix confusion(loader.dataset().classes());
  for (const Batch& batch : loader.epoch(0)) {
    confusion.add(model(batch.images.to(device)), batch.labels);
  }
  return confusion;
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
  const std::vector<std::string>& names = test_loader.dataset().class_names;
  if (run.summary.interrupted || run.summary.epochs == 0) {
    write_summary(folder.summary_file(), run.summary, extra);
  } else {
    const ConfusionMatrix confusion = count_confusion(model, test_loader);
    write_summary(folder.summary_file(), run.summary, extra,
                  {{"class_accuracy", class_accuracies(confusion, names)}});
    write_file_atomically(folder.file("confusion.csv"), confusion.to_csv());
    write_png(folder.file("confusion.png"), draw_confusion(confusion, names));
  }
  if (!run.rows.empty()) {
    write_png(folder.file("curves.png"), draw_curves(run.rows));
  }
}

}  // namespace cks::apps
