// Says what is in pictures, with a network that was trained before.
//
//   predict --weights runs/demo/best.safetensors cat.png dog.jpg holiday_pictures
//   predict --weights runs/demo/best.safetensors --eval my_pictures/test
//
// A folder among the pictures stands for those in it, by name, without the folders inside it. How a
// picture is prepared, and what the classes are called, stands in the file of weights. A
// picture that cannot be read is reported, the others are classified, and the exit code is 1.
// With --json stdout is one object: "pictures" has, in order, "path" and either "top" or "error";
// of --eval it has "accuracy", "classes" and "confusion" (rows: what a picture is), and of more
// than five classes "top5_accuracy": how often the right one is among the five most probable.
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "apps/classify/classifier.h"
#include "apps/classify/pictures.h"
#include "apps/cli/device_flag.h"
#include "apps/cli/flags.h"
#include "apps/cli/program.h"
#include "apps/cli/reading.h"
#include "apps/report/text_table.h"
#include "apps/run/run_folders.h"
#include "cks/core/autograd/autograd.h"
#include "cks/kernels/common/formatted_impl.h"

namespace cks::apps {
namespace {

using Json = nlohmann::ordered_json;

struct PredictFlags {
  std::string weights;
  bool latest = false;
  std::vector<std::string> pictures;
  std::string eval;
  std::int64_t top_k = 5;
  std::string tta = "none";
  bool skip_broken = false;
  bool no_cache = false;
  bool json = false;
  std::string prepare = "auto";
  std::string device = "auto";
  std::string precision = "fp32";
  ClassifyOptions options;
  WeightsFlags missing;
};

void add_flags(Flags& parser, PredictFlags& flags) {
  parser.add_positional("picture", flags.pictures,
                        "PNG, JPEG, BMP and GIF files of any size, and folders of them");
  parser.add_path("weights", flags.weights,
                  "a .safetensors file, such as best.safetensors of a run");
  parser.add_switch("latest", flags.latest, "those of the newest run in runs");
  parser.excludes("latest", "weights");
  parser.add_path(
      "eval", flags.eval,
      "folder with a folder of pictures for each class: accuracy, also top-5 of more than 5 "
      "classes, and confusion over it");
  parser.add_switch("skip-broken", flags.skip_broken,
                    "with --eval: leave out pictures that cannot be read");
  parser.add_switch("no-cache", flags.no_cache, std::string("with --eval: ") + kNoCacheHelp);
  parser.add("top-k", flags.top_k, "classes to show of each picture, the most probable first", 1);
  parser.add_choice(
      "tta", flags.tta, {"none", "mirror"},
      "test-time augmentation; mirror: mean of the probabilities of a picture and its "
      "mirror image");
  parser.add_choice(
      "prepare", flags.prepare, {"auto", "mnist", "none"},
      "mnist: find the digit in a picture, dark or light, on paper or on nothing, and "
      "scale and centre it as MNIST's are; auto: for weights trained on MNIST-format "
      "digits; none: resize alone");
  parser.add_switch("invert", flags.options.invert,
                    "swap light and dark, for pictures that are not prepared");
  parser.add_switch("json", flags.json, "one JSON object on stdout");
  parser.add("batch-size", flags.options.batch_size, "pictures that go through the model together",
             1);
  parser.needs("skip-broken", "eval");  // others are reported in any case
  parser.needs("no-cache", "eval");
  parser.excludes("top-k", "eval");
  add_device_flags(parser, flags.device, flags.precision);
  add_weights_flags(parser, flags.missing);
}

/// What both kinds of JSON begin with.
Json json_header(const PredictFlags& flags, const Classifier& classifier) {
  return {{"weights", classifier.path},
          {"model", classifier.info.model},
          {"device", classifier.device.to_string()},
          {"tta", flags.tta},
          {"prepare", flags.options.prepare_digits ? "mnist" : "none"},
          {"invert", flags.options.invert}};
}

void print(const Json& json) {
  // Bytes of a file's name that are not UTF-8 become a replacement mark.
  std::cout << json.dump(2, ' ', false, Json::error_handler_t::replace) << std::endl;
}

Json to_json(const PictureResult& result, const std::vector<std::string>& class_names) {
  Json json{{"path", result.path}};
  if (!result.error.empty()) {
    json["error"] = result.error;
    return json;
  }
  json["width"] = result.width;
  json["height"] = result.height;
  if (!result.note.empty()) {
    json["note"] = result.note;
  }
  json["top"] = Json::array();
  for (const auto& [index, probability] : result.top) {
    json["top"].push_back({{"class", class_names[static_cast<std::size_t>(index)]},
                           {"index", index},
                           {"probability", probability}});
  }
  return json;
}

/// "cat.png   cat 91.30 %   dog 6.20 %   (640x480 pixels)", the width first, as pictures have it.
std::string to_line(const PictureResult& result, const std::vector<std::string>& class_names) {
  std::string line = result.path;
  for (const auto& [index, probability] : result.top) {
    line +=
        formatted("   {} {}", class_names[static_cast<std::size_t>(index)], percent(probability));
  }
  return line + formatted("   ({}x{} pixels)", result.width, result.height);
}

int predict(const PredictFlags& flags, const Classifier& classifier) {
  const std::vector<std::string>& class_names = classifier.info.class_names;
  std::size_t failed = 0;
  Json results = Json::array();
  Progress progress({});
  ClassifyOptions options = flags.options;
  options.on_progress = show_reading(progress);
  classify_pictures(classifier, flags.pictures, flags.top_k, options,
                    [&](const PictureResult& result) {
                      progress.clear();
                      if (!result.error.empty()) {
                        ++failed;
                        std::cerr << "error: " << result.error << std::endl;
                      } else if (!result.note.empty()) {
                        std::cerr << "note: " << result.note << std::endl;
                      }
                      if (flags.json) {
                        results.push_back(to_json(result, class_names));
                      } else if (result.error.empty()) {
                        std::cout << to_line(result, class_names) << std::endl;
                      }
                    });
  if (flags.json) {
    Json json = json_header(flags, classifier);
    json["failed"] = failed;
    json["pictures"] = std::move(results);
    print(json);
  }
  return failed == 0 ? kExitOk : kExitFailed;
}

/// Of five classes or fewer the right one is always among the top five.
bool has_top5(const ConfusionMatrix& confusion) { return confusion.classes() > 5; }

double top5_accuracy(const FolderResult& result) {
  return static_cast<double>(result.top5_correct) / static_cast<double>(result.confusion.total());
}

/// "99.00 %, 198 of 200 images".
std::string describe_accuracy(double accuracy, std::int64_t correct, std::int64_t images) {
  return formatted("{}, {} of {} images", percent(accuracy), with_commas(correct),
                   with_commas(images));
}

void print_table(const FolderResult& result, const std::vector<std::string>& class_names) {
  const ConfusionMatrix& confusion = result.confusion;
  const std::int64_t classes = confusion.classes();
  std::vector<std::string> header{"", "class", "images", "correct"};
  for (std::int64_t c = 0; c < classes; ++c) {
    header.push_back(std::to_string(c));
  }
  std::vector<bool> right_aligned(header.size(), true);
  right_aligned[1] = false;
  TextTable table(header, right_aligned);
  for (std::int64_t truth = 0; truth < classes; ++truth) {
    const std::int64_t images = confusion.images_of(truth);
    std::vector<std::string> row{std::to_string(truth),
                                 class_names[static_cast<std::size_t>(truth)], with_commas(images),
                                 images == 0 ? "-" : percent(confusion.accuracy_of(truth))};
    for (std::int64_t c = 0; c < classes; ++c) {
      row.push_back(std::to_string(confusion.at(truth, c)));
    }
    table.add(std::move(row));
  }
  const std::int64_t images = confusion.total();
  std::cout << "accuracy  " << describe_accuracy(confusion.accuracy(), confusion.correct(), images)
            << "\n";
  if (has_top5(confusion)) {
    std::cout << "top-5     "
              << describe_accuracy(top5_accuracy(result), result.top5_correct, images) << "\n";
  }
  std::cout << "\nColumns 0 to " << classes - 1
            << ": what the images of each class were taken for\n\n"
            << table.to_string() << std::flush;
}

Json to_json(const FolderResult& result, const std::vector<std::string>& class_names) {
  const ConfusionMatrix& confusion = result.confusion;
  Json json{{"images", confusion.total()},
            {"correct", confusion.correct()},
            {"accuracy", confusion.accuracy()}};
  if (has_top5(confusion)) {
    json["top5_correct"] = result.top5_correct;
    json["top5_accuracy"] = top5_accuracy(result);
  }
  json["classes"] = Json::array();
  json["confusion"] = Json::array();  // rows: what it is; columns: what it was taken for
  for (std::int64_t truth = 0; truth < confusion.classes(); ++truth) {
    const std::int64_t images = confusion.images_of(truth);
    json["classes"].push_back(
        {{"class", class_names[static_cast<std::size_t>(truth)]},
         {"images", images},
         {"correct", confusion.at(truth, truth)},
         {"accuracy", images == 0 ? Json() : Json(confusion.accuracy_of(truth))}});
    Json row = Json::array();
    for (std::int64_t c = 0; c < confusion.classes(); ++c) {
      row.push_back(confusion.at(truth, c));
    }
    json["confusion"].push_back(std::move(row));
  }
  json["skipped"] = result.skipped;
  return json;
}

int evaluate(const PredictFlags& flags, const Classifier& classifier) {
  Progress progress({});
  const FolderResult result =
      classify_folder(classifier, flags.eval,
                      {.skip_broken = flags.skip_broken,
                       .cache_dir = flags.no_cache ? "" : picture_cache_folder(),
                       .on_progress = show_reading(progress)},
                      flags.options);
  progress.clear();
  for (const std::string& why : result.skipped) {
    std::cerr << "warning: left out: " << why << std::endl;
  }
  if (flags.json) {
    Json json = json_header(flags, classifier);
    json["folder"] = flags.eval;
    json.update(to_json(result, classifier.info.class_names));
    print(json);
  } else {
    print_table(result, classifier.info.class_names);
  }
  return kExitOk;
}

int run(int argc, char** argv) {
  PredictFlags flags;
  Flags parser("predict", "Says what is in pictures, with trained weights.");
  add_flags(parser, flags);
  if (const auto code = parser.parse(argc, argv)) {
    return *code;
  }
  if (flags.weights.empty() && !flags.latest) {
    throw parser.usage_error(
        "--weights FILE is needed, such as best.safetensors in the folder of a run of train_mnist "
        "or train_cifar, or --latest");
  }
  if (flags.pictures.empty() == flags.eval.empty()) {
    throw parser.usage_error("name either pictures or --eval DIR");
  }
  flags.options.mirror = flags.tta == "mirror";
  if (flags.options.invert && flags.prepare == "mnist") {
    throw parser.usage_error(
        "--invert goes without --prepare mnist, which sees what is ink itself");
  }
  if (flags.latest) {
    flags.weights = latest_weights();
    std::cerr << "weights   " << flags.weights << std::endl;
  }
  const Classifier classifier =
      load_classifier(flags.weights, flags.missing, take_device(flags.device).device);
  const PrecisionScope precision(take_precision(flags.precision, classifier.device));
  const std::string& dataset = classifier.info.dataset;  // EMNIST's digits are laid out alike
  const bool is_mnist = dataset == "mnist" || dataset.starts_with("emnist");
  const bool reads_digits = reads_mnist_digits(classifier.info);
  if (flags.prepare == "mnist" && !reads_digits) {
    throw Error("--prepare mnist: the weights are not of a model for digits of 28 x 28");
  }
  flags.options.prepare_digits =
      flags.prepare == "mnist" ||
      (flags.prepare == "auto" && reads_digits && !flags.options.invert && is_mnist);
  if (flags.options.prepare_digits && parser.given("fit")) {
    throw parser.usage_error(
        "--fit does not go with digits, which are prepared otherwise; "
        "--prepare none resizes alone");
  }
  return flags.eval.empty() ? predict(flags, classifier) : evaluate(flags, classifier);
}

}  // namespace
}  // namespace cks::apps

int main(int argc, char** argv) { return cks::apps::run_program(cks::apps::run, argc, argv); }
