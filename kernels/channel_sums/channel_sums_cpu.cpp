#include "cks/kernels/channel_sums/channel_sums.h"
#include "cks/kernels/common/parallel_for.h"

namespace cks::kernels {

namespace CKS_CPU {

void channel_sums(const ChannelSumsProblem& p, const void* base, double* sums, void* workspace) {
  auto* const partial = static_cast<double*>(workspace);  // [slice][2][channels]
  visit_real("channel_sums", p.dtype, [&](auto zero) {
    const auto* values = static_cast<const decltype(zero)*>(base);
    parallel_for(kChannelSlices, [&](std::int64_t slice) {
      double* const sum = partial + slice * 2 * p.channels;
      double* const square = sum + p.channels;
      for (std::int64_t c = 0; c < 2 * p.channels; ++c) {
        sum[c] = 0.0;
      }
      const std::int64_t end = p.pixels * (slice + 1) / kChannelSlices;
      for (std::int64_t i = p.pixels * slice / kChannelSlices; i < end; ++i) {
        for (std::int64_t c = 0; c < p.channels; ++c) {
          const auto value = static_cast<double>(values[i * p.pitch + c]);
          sum[c] += value;
          square[c] += value * value;
        }
      }
    });
  });
  for (std::int64_t c = 0; c < 2 * p.channels; ++c) {
    sums[c] = 0.0;
    for (std::int64_t slice = 0; slice < kChannelSlices; ++slice) {
      sums[c] += partial[slice * 2 * p.channels + c];
    }
  }
}

}  // namespace CKS_CPU
}  // namespace cks::kernels
