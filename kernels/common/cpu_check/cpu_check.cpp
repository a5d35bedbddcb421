#include <unistd.h>

#include <cstring>

#include "cks/kernels/common/cpu_check/cpu_features_impl.h"

// Ends the process with a message where it would otherwise meet an instruction that the processor
// does not know: a build with CKS_NATIVE on another machine. Runs before every static initialiser,
// is compiled for the architecture's lowest level (see CMakeLists.txt, which also makes the linker
// take this file), and calls nothing of the C++ library, whose inline functions the linker might
// take from a file compiled for more.
namespace {

void say(const char* text) {
  [[maybe_unused]] const auto written = write(STDERR_FILENO, text, std::strlen(text));
}

}  // namespace

extern "C" __attribute__((constructor(101))) void cks_check_processor() {
#if defined(__x86_64__)
  __builtin_cpu_init();
#endif
  struct Feature {
    const char* name;
    bool present;
  };
#define CKS_FEATURE(name, macro, present) {name, present},
  const Feature features[] = {CKS_CPU_FEATURES(CKS_FEATURE){nullptr, false}};
  bool fits = true;
  for (int i = 0; features[i].name != nullptr; ++i) {
    fits = fits && (features[i].present || !cks::kernels::kUsesFeature[i]);
  }
  if (fits) {
    return;
  }
  const auto say_those = [&](bool present, bool absent) {
    for (int i = 0; features[i].name != nullptr; ++i) {
      if (cks::kernels::kUsesFeature[i] && (features[i].present ? present : absent)) {
        say(" ");
        say(features[i].name);
      }
    }
  };
  say("error: cks was built for a processor with");
  say_those(true, true);
  say(" (CKS_NATIVE=ON, or the compiler flags); this one has");
  say_those(true, false);
  say(", but lacks");
  say_those(false, true);
  say(". Build it on this machine, or without CKS_NATIVE for every processor.\n");
  _exit(1);
}
