#include "apps/cli/reading.h"

#include <chrono>

#include "cks/kernels/common/lists_impl.h"

namespace cks::apps {

void add_fit_flag(Flags& parser, std::string& fit, const std::string& what) {
  const auto name = [](ImageFit one) { return std::string(name_of(one)); };
  parser.add_choice("fit", fit, mapped(kImageFits, name),
                    what +
                        "\nstretch: both sides scaled for themselves\n"
                        "crop: the middle that has the aspect ratio\n"
                        "letterbox: all of it, with black beside it");
}

std::function<void(const ReadingProgress&)> show_reading(Progress& progress) {
  return [&progress, begin = std::chrono::steady_clock::now()](const ReadingProgress& read) {
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begin;
    progress.update(read, passed.count());
  };
}

}  // namespace cks::apps
