#pragma once
#include <string>

#include "tests/support/process.h"

namespace cks::testing {

/// A running train_mnist.
struct TrainMnist : Process {
  TrainMnist(const ScratchFolder& scratch, const Arguments& arguments)
      : Process(CKS_TRAIN_MNIST, scratch, arguments) {}
};

inline int run(const ScratchFolder& scratch, const Arguments& arguments, std::string* err = nullptr,
               std::string* out = nullptr) {
  TrainMnist process(scratch, arguments);
  const int code = process.wait();
  if (err != nullptr) {
    *err = process.err();
  }
  if (out != nullptr) {
    *out = process.out();
  }
  return code;
}

/// A quick run on few drawn digits.
inline Arguments quick(const std::string& folder, const Arguments& more = {}) {
  return joined({"--dataset", "drawn", "--limit-train", "600", "--limit-test", "100",
                 "--batch-size", "50", "--output-dir", folder},
                more);
}

}  // namespace cks::testing
