#include "apps/app.h"

#include <unistd.h>

#include <csignal>
#include <exception>
#include <iostream>
#include <new>

namespace cks::apps {
namespace {

volatile std::sig_atomic_t g_interrupts = 0;

extern "C" void on_interrupt(int /*signal*/) {
  g_interrupts = g_interrupts + 1;
  if (g_interrupts > 1) {
    _exit(kExitInterrupted);
  }
}

}  // namespace

int run_app(const std::function<int()>& body) {
  try {
    return body();
  } catch (const UsageError& error) {
    std::cerr << "error: " << error.what() << std::endl;
    return kExitUsage;
  } catch (const Error& error) {
    std::cerr << "error: " << error.what() << std::endl;
  } catch (const std::bad_alloc&) {
    std::cerr << "error: out of memory; a smaller --batch-size or --eval-batch-size needs less"
              << std::endl;
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << std::endl;
  }
  return kExitFailed;
}

void install_interrupt_handler() {
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;  // a checkpoint being written is finished
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool interrupted() { return g_interrupts > 0; }

std::string version() { return CKS_VERSION; }
std::string build_type() { return CKS_BUILD_TYPE; }

std::string instruction_set() {
#if defined(__AVX512F__)
  return "AVX-512";
#elif defined(__AVX2__)
  return "AVX2";
#elif defined(__AVX__)
  return "AVX";
#elif defined(__ARM_NEON)
  return "NEON";
#elif defined(__SSE2__)
  return "SSE2";
#else
  return "baseline";
#endif
}

std::string with_commas(long long value) {
  std::string text = std::to_string(value);
  const std::size_t first_digit = value < 0 ? 1 : 0;
  for (std::size_t end = text.size(); end > first_digit + 3;) {
    end -= 3;
    text.insert(end, ",");
  }
  return text;
}

}  // namespace cks::apps
