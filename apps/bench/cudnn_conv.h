#pragma once
#include <memory>
#include <string>
#include <vector>

#include "cks/core/capture/call_timer.h"
#include "cks/core/tensor/tensor.h"
#include "cks/kernels/conv2d/plan.h"
#include "cks/kernels/conv2d/problem.h"

namespace cks::apps {

/// 91900 for 9.19.0.
long long cudnn_version();

/// The fastest way that cuDNN found to compute a pass.
struct CudnnTimes {
  CallTimes times{};
  std::string layout;     // "NCHW" or "NHWC"
  std::string algorithm;  // cuDNN's number of it
};

/// cuDNN's side of a comparison: one pass of one convolution in the problem's mode (strict float32,
/// tf32, or bfloat16 with float32 sums), by the algorithms that cuDNN's own search finds fastest
/// for both memory formats. The tensors give memory of the right sizes; in NCHW their elements
/// merely have another meaning. Built only where cuDNN was found (CKS_HAS_CUDNN).
class CudnnConv {
 public:
  /// The tensors, on one CUDA device, must outlive the object; the pass's result is overwritten.
  /// Throws Error, with cuDNN's reasons, if it takes the problem in neither format.
  CudnnConv(const kernels::Conv2dProblem& problem, kernels::Conv2dPass pass, const Tensor& x,
            const Tensor& w, const Tensor& y);
  ~CudnnConv();
  CudnnConv(const CudnnConv&) = delete;
  CudnnConv& operator=(const CudnnConv&) = delete;

  /// Times both formats for `seconds` each and returns the faster one's times.
  CudnnTimes time(double seconds);

 private:
  struct Candidate;
  std::vector<std::unique_ptr<Candidate>> candidates_;
};

}  // namespace cks::apps
