#pragma once
#include <optional>
#include <string>
#include <vector>

#include "apps/report/model_table.h"
#include "cks/train/metrics.h"
#include "cks/train/run_folder.h"
#include "cks/train/trainer.h"

namespace cks::apps {

/// Pictures under a heading of the page.
struct PictureSheet {
  struct Picture {
    std::string png;  // bytes of the file
    std::string caption{};
  };
  std::string title;
  std::string note;
  std::vector<Picture> pictures;
};

/// What is shown of a run. What is missing is left out.
struct RunReport {
  std::string model;
  std::string dataset;
  TrainSummary summary{};
  std::vector<EpochMetrics> rows{};  // of all its epochs
  bool has_accuracy = true;          // false: what was trained has a loss alone
  std::optional<ConfusionMatrix> confusion{};
  std::vector<std::string> class_names{};  // of the matrix
  Tensor filters{};                        // of the first convolution, [OC,IC,FH,FW]
  ModelTable layers{};                     // of one image
  std::vector<PictureSheet> sheets{};
  ConfigSections config{};
};

/// A page that needs no other file and no script: the numbers of the run, its figures, what it was
/// configured with. It follows light and dark, fits a phone and prints. It is well-formed XML, too.
std::string report_page(const RunReport& report);

/// Writes the page as report.html and its figures as curves.svg, confusion.svg, filters.svg and
/// savings.svg into the folder, each replaced at once. Throws IoError.
void write_report(const RunFolder& folder, const RunReport& report);

}  // namespace cks::apps
