#pragma once
#include <algorithm>
#include <cstdint>
#include <iterator>

#include "cks/kernels/common/launch.cuh"

/// Many tensors in one launch: their addresses travel in the kernel's parameters, and blocks are
/// dealt to the tensors in order, a stretch of elements each.
namespace cks::kernels::cuda {

constexpr int kListThreads = 256;
constexpr std::int64_t kListStretch = 4 * kListThreads;  // stretches are multiples of it
constexpr std::int64_t kWantedBlocks = 2048;

/// Cuts the tensors of a list (members count, size[], stretch, first_block[count + 1]) into
/// stretches; returns the number of blocks.
template <class List>
int deal_blocks(List& list) {
  std::int64_t elements = 0;
  for (int i = 0; i < list.count; ++i) {
    elements += list.size[i];
  }
  list.stretch =
      std::max<std::int64_t>(1, ceil_div(elements, kWantedBlocks * kListStretch)) * kListStretch;
  int blocks = 0;
  for (int i = 0; i < list.count; ++i) {
    list.first_block[i] = blocks;
    blocks += static_cast<int>(ceil_div(list.size[i], list.stretch));
  }
  list.first_block[list.count] = blocks;
  return blocks;
}

/// Makes lists of some of `count` tensors: add(list, at, i) puts tensor i in place `at`, or returns
/// false. Calls body(list, blocks) for each list that is full, and for the rest.
template <class List, class Add, class Body>
void for_lists(List list, std::int64_t count, const Add& add, const Body& body) {
  for (std::int64_t i = 0; i < count; ++i) {
    list.count += add(list, list.count, i) ? 1 : 0;
    if (list.count == std::ssize(list.size) || (i + 1 == count && list.count > 0)) {
      const int blocks = deal_blocks(list);
      body(list, blocks);
      list.count = 0;
    }
  }
}

/// Whether the block was dealt to the tensor; `tensor` may be any thread's index.
template <class List>
__device__ __forceinline__ bool is_dealt(const List& list, int tensor, int block) {
  return tensor < list.count && block >= list.first_block[tensor] &&
         block < list.first_block[tensor + 1];
}

/// The tensor that this block was dealt to. By all of its threads, kListThreads or more.
template <class List>
__device__ __forceinline__ int dealt_tensor(const List& list) {
  __shared__ int found;
  if (is_dealt(list, static_cast<int>(threadIdx.x), static_cast<int>(blockIdx.x))) {
    found = static_cast<int>(threadIdx.x);
  }
  __syncthreads();
  return found;
}

/// Elements [begin, end) of the tensor that are the block's.
struct Stretch {
  std::int64_t begin, end;
};

template <class List>
__device__ __forceinline__ Stretch stretch_of(const List& list, int tensor, int block) {
  const std::int64_t begin = (block - list.first_block[tensor]) * list.stretch;
  const std::int64_t stop = begin + list.stretch;
  return {begin, stop < list.size[tensor] ? stop : list.size[tensor]};
}

}  // namespace cks::kernels::cuda
