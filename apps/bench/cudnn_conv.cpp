#include "apps/bench/cudnn_conv.h"

#include <cudnn.h>

#include <algorithm>
#include <array>
#include <utility>

#include "cks/core/device/cuda.h"
#include "cks/core/device/stream.h"
#include "cks/core/error.h"

namespace cks::apps {
namespace {

using kernels::Conv2dPass;
using kernels::Conv2dProblem;

// The search leaves algorithms out that need more memory than this.
constexpr std::int64_t kMostWorkspace = std::int64_t{2} << 30;
constexpr int kMostAlgorithms = 16;

void check(cudnnStatus_t status, const char* call) {
  if (status != CUDNN_STATUS_SUCCESS) {
    throw Error(std::string("cuDNN: ") + call + ": " + cudnnGetErrorString(status));
  }
}
#define CKS_CUDNN_CHECK(call) check((call), #call)

/// A handle or descriptor and the function that destroys it.
template <class T>
class Owned {
 public:
  Owned(cudnnStatus_t (*create)(T*), cudnnStatus_t (*destroy)(T)) : destroy_(destroy) {
    check(create(&value_), "create a descriptor");
  }
  ~Owned() { destroy_(value_); }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  T get() const { return value_; }

 private:
  T value_{};
  cudnnStatus_t (*destroy_)(T);
};

/// The one handle of this program, on the device that it was first used on.
cudnnHandle_t handle_on(Device device) {
  const Stream stream = Stream::current(device);  // makes the device the current one, too
  // Never destroyed: at the end of the process CUDA may be gone already.
  static const auto* handle = new Owned<cudnnHandle_t>(cudnnCreate, cudnnDestroy);
  CKS_CUDNN_CHECK(cudnnSetStream(handle->get(), static_cast<cudaStream_t>(stream.handle())));
  return handle->get();
}

bool is_strict_float32(const Conv2dProblem& p) {
  return p.x_type == DType::float32 && p.precision == Precision::fp32;
}

struct Descriptors {
  Owned<cudnnTensorDescriptor_t> x{cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor};
  Owned<cudnnTensorDescriptor_t> y{cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor};
  Owned<cudnnFilterDescriptor_t> w{cudnnCreateFilterDescriptor, cudnnDestroyFilterDescriptor};
  Owned<cudnnConvolutionDescriptor_t> conv{cudnnCreateConvolutionDescriptor,
                                           cudnnDestroyConvolutionDescriptor};

  Descriptors(const Conv2dProblem& p, cudnnTensorFormat_t format) {
    const auto as_int = [](std::int64_t n) { return static_cast<int>(n); };
    const cudnnDataType_t type =
        p.x_type == DType::bfloat16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
    CKS_CUDNN_CHECK(cudnnSetTensor4dDescriptor(x.get(), format, type, as_int(p.N), as_int(p.IC),
                                               as_int(p.IH), as_int(p.IW)));
    CKS_CUDNN_CHECK(cudnnSetTensor4dDescriptor(y.get(), format, type, as_int(p.N), as_int(p.OC),
                                               as_int(p.OH), as_int(p.OW)));
    CKS_CUDNN_CHECK(cudnnSetFilter4dDescriptor(w.get(), type, format, as_int(p.OC),
                                               as_int(p.IC / p.G), as_int(p.FH), as_int(p.FW)));
    CKS_CUDNN_CHECK(cudnnSetConvolution2dDescriptor(
        conv.get(), as_int(p.pt), as_int(p.pl), as_int(p.sh), as_int(p.sw), as_int(p.dh),
        as_int(p.dw), CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT));
    CKS_CUDNN_CHECK(cudnnSetConvolutionGroupCount(conv.get(), as_int(p.G)));
    // CUDNN_FMA_MATH is never TF32; by default float32 may be multiplied as that, but bfloat16 is
    // not multiplied by tensor cores.
    CKS_CUDNN_CHECK(cudnnSetConvolutionMathType(conv.get(), is_strict_float32(p) ? CUDNN_FMA_MATH
                                                            : type == CUDNN_DATA_BFLOAT16
                                                                ? CUDNN_TENSOR_OP_MATH
                                                                : CUDNN_DEFAULT_MATH));
  }
};

std::int64_t search_bytes(Device device) {
  return std::min(kMostWorkspace, cuda_device_info(device).free_bytes / 4);
}

constexpr float kOne = 1.0F;
constexpr float kZero = 0.0F;

/// A descriptor and the memory that it describes.
template <class Descriptor>
struct Operand {
  Descriptor descriptor;
  void* data;
};

}  // namespace

/// One memory format with the fastest algorithm for it.
struct CudnnConv::Candidate {
  Device device;
  std::string layout;
  bool is_strict;
  Descriptors descriptors;
  std::string algorithm;
  std::string why_not;  // empty: it can be timed
  Tensor workspace;
  std::unique_ptr<CallTimer> timer;

  Candidate(const Conv2dProblem& problem, Conv2dPass pass, cudnnTensorFormat_t format,
            const Tensor& x, const Tensor& w, const Tensor& y)
      : device(x.device()),
        layout(format == CUDNN_TENSOR_NHWC ? "NHWC" : "NCHW"),
        is_strict(is_strict_float32(problem)),
        descriptors(problem, format) {
    const Operand<cudnnTensorDescriptor_t> image{descriptors.x.get(), Tensor(x).data()};
    const Operand<cudnnFilterDescriptor_t> filter{descriptors.w.get(), Tensor(w).data()};
    const Operand<cudnnTensorDescriptor_t> output{descriptors.y.get(), Tensor(y).data()};
    try {
      if (pass == Conv2dPass::forward) {
        search<cudnnConvolutionFwdAlgoPerf_t>(cudnnFindConvolutionForwardAlgorithmEx,
                                              cudnnConvolutionForward, image, filter, output);
      } else if (pass == Conv2dPass::backward_data) {
        search<cudnnConvolutionBwdDataAlgoPerf_t>(cudnnFindConvolutionBackwardDataAlgorithmEx,
                                                  cudnnConvolutionBackwardData, filter, output,
                                                  image);
      } else {
        search<cudnnConvolutionBwdFilterAlgoPerf_t>(cudnnFindConvolutionBackwardFilterAlgorithmEx,
                                                    cudnnConvolutionBackwardFilter, image, output,
                                                    filter);
      }
    } catch (const Error& error) {  // no algorithm takes the format, or none can be captured
      why_not = error.what();
      timer.reset();
    }
  }

  /// Lets cuDNN time its algorithms of a pass, whose functions all take their operands in this
  /// order, and prepares the fastest of those in the mode's arithmetic.
  template <class Found, class Find, class Run, class A, class B, class C>
  void search(Find find, Run run, Operand<A> a, Operand<B> b, Operand<C> c) {
    const cudnnConvolutionDescriptor_t conv = descriptors.conv.get();
    std::array<Found, kMostAlgorithms> found{};
    int count = 0;
    {
      Tensor scratch = Tensor::empty({search_bytes(device)}, DType::uint8, device);
      CKS_CUDNN_CHECK(find(handle_on(device), a.descriptor, a.data, b.descriptor, b.data, conv,
                           c.descriptor, c.data, kMostAlgorithms, &count, found.data(),
                           scratch.data(), static_cast<std::size_t>(scratch.numel())));
    }
    // cuDNN sorts them by time, and lists some for other precisions as well; whichever is taken
    // runs in the descriptor's.
    const auto first = [&](bool strict) {
      return std::find_if(found.begin(), found.begin() + count, [&](const Found& one) {
        return one.status == CUDNN_STATUS_SUCCESS && (!strict || one.mathType == CUDNN_FMA_MATH);
      });
    };
    const auto end = found.begin() + count;
    const auto best = first(is_strict) != end ? first(is_strict) : first(false);
    if (best == end) {
      throw Error("cuDNN: no algorithm in the mode's arithmetic");
    }
    algorithm = std::to_string(best->algo);
    workspace = Tensor::empty({static_cast<std::int64_t>(best->memory)}, DType::uint8, device);
    timer = std::make_unique<CallTimer>(
        device, [this, run, a, b, c, conv, algo = best->algo, bytes = best->memory] {
          CKS_CUDNN_CHECK(run(handle_on(device), &kOne, a.descriptor, a.data, b.descriptor, b.data,
                              conv, algo, workspace.data(), bytes, &kZero, c.descriptor, c.data));
        });
  }
};

long long cudnn_version() { return static_cast<long long>(cudnnGetVersion()); }

CudnnConv::CudnnConv(const Conv2dProblem& problem, Conv2dPass pass, const Tensor& x,
                     const Tensor& w, const Tensor& y) {
  if (problem.pt != problem.pb || problem.pl != problem.pr) {
    throw Error("cuDNN: padding must be the same on opposite sides (" + to_string(problem) + ")");
  }
  std::string reasons;
  for (const cudnnTensorFormat_t format : {CUDNN_TENSOR_NCHW, CUDNN_TENSOR_NHWC}) {
    auto candidate = std::make_unique<Candidate>(problem, pass, format, x, w, y);
    if (candidate->why_not.empty()) {
      candidates_.push_back(std::move(candidate));
    } else {
      reasons += "\n  " + candidate->layout + ": " + candidate->why_not;
    }
  }
  if (candidates_.empty()) {
    throw Error(std::string("cuDNN: cannot compute ") + name_of(pass) + " of " +
                to_string(problem) + reasons);
  }
}

CudnnConv::~CudnnConv() = default;

CudnnTimes CudnnConv::time(double seconds) {
  CudnnTimes best;
  for (const auto& candidate : candidates_) {
    const CallTimes times = candidate->timer->time(seconds);
    if (best.layout.empty() || times.median_us < best.times.median_us) {
      best = {times, candidate->layout, candidate->algorithm};
    }
  }
  return best;
}

}  // namespace cks::apps
