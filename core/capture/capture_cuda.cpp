#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "cks/core/capture/branches_impl.h"
#include "cks/core/capture/step_graph_impl.h"
#include "cks/core/device/dispatch.h"
#include "cks/core/device/stream.h"
#include "cks/core/memory/allocator_impl.h"
#include "cks/kernels/common/cuda_check.h"
#include "cks/kernels/common/formatted_impl.h"
#include "cks/kernels/common/stream.h"

// Captured steps as CUDA graphs.

namespace cks {
namespace {

struct GraphDeleter {
  void operator()(cudaGraph_t graph) const { cudaGraphDestroy(graph); }
  void operator()(cudaGraphExec_t graph) const { cudaGraphExecDestroy(graph); }
};
using Graph = std::unique_ptr<CUgraph_st, GraphDeleter>;
using GraphExec = std::unique_ptr<CUgraphExec_st, GraphDeleter>;

/// The branches of one recording: each a stream that forks off the main line and joins it again.
/// The main line is the recorder, or a stream of the body's own that waits for it.
class CudaSideStreams : public SideStreams {
 public:
  CudaSideStreams(Allocator& allocator, std::uint64_t pool, Device device)
      : allocator_(allocator), pool_(pool), device_(device) {}

  void enter(int branch) override {
    const auto index = static_cast<std::size_t>(branch) - 1;
    if (streams_.size() == index) {
      streams_.emplace_back(device_);
    }
    Stream& stream = streams_.at(index);
    stream.wait_for(Stream::current(device_));
    running_ = std::max(running_, index + 1);
    pool_scope_.emplace(allocator_, pool_, branch);
    stream_guard_.emplace(stream);
  }
  void leave() override {
    stream_guard_.reset();
    pool_scope_.reset();
  }
  void join() override {
    const Stream main = Stream::current(device_);
    for (std::size_t i = 0; i < running_; ++i) {
      main.wait_for(streams_[i]);
    }
    running_ = 0;
  }

 private:
  Allocator& allocator_;
  std::uint64_t pool_;
  Device device_;
  std::vector<Stream> streams_;
  std::size_t running_ = 0;
  std::optional<PoolScope> pool_scope_;
  std::optional<StreamGuard> stream_guard_;
};

class CudaStepGraph : public StepGraph {
 public:
  explicit CudaStepGraph(Device device)
      : device_(device), allocator_(allocator_of(device)), recorder_(device) {}

  ~CudaStepGraph() override { forget(); }

  void run_eagerly(const std::function<void()>& body) override {
    ops::select_cuda(device_);
    home_ = current_stream();
    pool_ = allocator_.open_pool(home_);
    try {
      const PoolScope scope(allocator_, pool_);
      body();
    } catch (...) {
      forget();
      throw;
    }
  }

  void record(const std::function<void()>& body) override {
    const Graph graph = capture(body);
    ops::select_cuda(device_);
    cudaGraphExec_t made = nullptr;
    CKS_CUDA_CHECK(cudaGraphInstantiate(&made, graph.get(), 0));
    GraphExec executable(made);
    if (current_stream() != home_) {
      // The pool's memory has been used on another stream so far.
      CKS_CUDA_CHECK(cudaDeviceSynchronize());
    }
    executable_ = std::move(executable);
    try {
      launch();
    } catch (...) {
      executable_.reset();
      throw;
    }
  }

  bool recorded() const override { return executable_ != nullptr; }

  void launch() override {
    ops::select_cuda(device_);
    // CUDA itself lets a launch wait for the one before, on whatever stream that was.
    CKS_CUDA_CHECK(cudaGraphLaunch(executable_.get(), static_cast<cudaStream_t>(current_stream())));
    kernels::cuda::finish_launch("captured step");
  }

 private:
  void* current_stream() const { return kernels::cuda::current_stream(device_.index); }

  /// On a stream of its own, so that what other threads queue meanwhile is not recorded.
  Graph capture(const std::function<void()>& body) {
    ops::select_cuda(device_);
    const auto stream = static_cast<cudaStream_t>(recorder_.handle());
    const PoolScope pool(allocator_, pool_);
    const StreamGuard guard(recorder_);
    // Relaxed: new blocks may be allocated meanwhile.
    CKS_CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
    cudaGraph_t made = nullptr;
    CudaSideStreams side(allocator_, pool_, device_);
    try {
      const SideStreamsScope branches(&side);
      body();
      side.join_postponed();  // of a backward pass that failed
    } catch (...) {
      cudaStreamEndCapture(stream, &made);
      cudaGetLastError();
      const Graph part(made);
      throw;
    }
    const cudaError_t status = cudaStreamEndCapture(stream, &made);
    Graph graph(made);
    if (status != cudaSuccess) {
      cudaGetLastError();
      throw CaptureError(formatted("captured step: CUDA could not record it: {}, {}",
                                   cudaGetErrorName(status), cudaGetErrorString(status)));
    }
    return graph;
  }

  /// Gives graph and pool back. What fails here has been reported or will be: the device is lost.
  void forget() {
    if (pool_ == 0) {
      return;
    }
    try {
      ops::select_cuda(device_);
      cudaDeviceSynchronize();
    } catch (const Error&) {
    }
    executable_.reset();
    cudaGetLastError();
    allocator_.close_pool(std::exchange(pool_, 0));
  }

  Device device_;
  Allocator& allocator_;
  Stream recorder_;
  std::uint64_t pool_ = 0;  // 0: none, before the first run
  void* home_ = nullptr;    // stream of the first run
  GraphExec executable_;
};

}  // namespace

std::unique_ptr<StepGraph> make_step_graph(Device device) {
  return std::make_unique<CudaStepGraph>(device);
}

}  // namespace cks
