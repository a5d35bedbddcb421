#include "cks/core/ops/rearrange.h"
#include "cks/core/ops/reduce.h"
#include "tests/core/ops/op_table.h"

namespace cks::testing {
namespace {

using Inputs = std::vector<Tensor>;

OpInput x(const Shape& shape) { return {shape, between(-2, 2, 1)}; }
OpInput ranked(const Shape& shape) { return {shape, distinct(1)}; }

}  // namespace

std::vector<OpRow> shape_rows() {
  constexpr bool kNoEmptyBatch = false;
  return {
      {"sum", {x({3, 4})}, [](const Inputs& in) { return sum(in[0]); }},
      {"sum of the first axis", {x({3, 4})}, [](const Inputs& in) { return sum(in[0], {0}); }},
      {"sum of the last axis, kept",
       {x({3, 4})},
       [](const Inputs& in) { return sum(in[0], {-1}, true); }},
      {"sum of the middle",
       {x({2, 3, 4, 2})},
       [](const Inputs& in) {
         return sum(in[0], {1, 2});
       }},
      {"sum of parted axes",
       {x({2, 3, 4, 2})},
       [](const Inputs& in) {
         return sum(in[0], {0, 2}, true);
       }},
      {"sum of no axis", {x({3, 4})}, [](const Inputs& in) { return sum(in[0], {}); }},
      {"mean of the images",
       {x({2, 3, 4, 2})},
       [](const Inputs& in) {
         return mean(in[0], {1, 2});
       }},
      {"mean of parted axes",
       {x({2, 3, 4})},
       [](const Inputs& in) {
         return mean(in[0], {2, 0});
       }},
      {"max", {ranked({3, 4})}, [](const Inputs& in) { return max(in[0]); }, kNoEmptyBatch},
      {"max of the last axis", {ranked({3, 4})}, [](const Inputs& in) { return max(in[0], {1}); }},
      {"max of the first axis, kept",
       {ranked({3, 4})},
       [](const Inputs& in) { return max(in[0], {0}, true); },
       kNoEmptyBatch},
      {"max of parted axes",
       {ranked({2, 3, 4, 2})},
       [](const Inputs& in) {
         return max(in[0], {1, 3});
       }},

      {"permute to NCHW",
       {x({2, 3, 4, 5})},
       [](const Inputs& in) {
         return permute(in[0], {0, 3, 1, 2});
       }},
      {"permute cyclic",
       {x({2, 3, 4})},
       [](const Inputs& in) {
         return permute(in[0], {1, 2, 0});
       }},
      {"permute by transpose", {x({3, 4})}, [](const Inputs& in) { return transpose(in[0]); }},
      {"permute by flatten_chw",
       {x({2, 3, 2, 4})},
       [](const Inputs& in) { return flatten_chw(in[0]); }},
      {"upsample_nearest",
       {x({2, 3, 2, 3})},
       [](const Inputs& in) { return upsample_nearest(in[0], 2); }},
      {"upsample_nearest by 1",
       {x({2, 3, 2, 3})},
       [](const Inputs& in) { return upsample_nearest(in[0], 1); }},
      {"upsample_bilinear",
       {x({2, 3, 2, 3})},
       [](const Inputs& in) {
         return upsample_bilinear(in[0], {6, 5});
       }},
      {"upsample_bilinear to fewer columns, corners aligned",
       {x({2, 3, 5, 2})},
       [](const Inputs& in) {
         return upsample_bilinear(in[0], {7, 3}, true);
       }},
      {"concat of channels",
       {x({2, 3, 2}), x({2, 3, 1}), {{2, 3, 4}, between(-1, 1, 2)}},
       [](const Inputs& in) { return concat(in, -1); }},
      {"concat of rows", {x({2, 3}), x({2, 3})}, [](const Inputs& in) { return concat(in, 0); }},
      {"concat of one tensor twice",
       {x({2, 3})},
       [](const Inputs& in) {
         return concat({in[0], in[0]}, 1);
       }},
      {"concat by stack", {x({2, 3}), x({2, 3})}, [](const Inputs& in) { return stack(in, 1); }},
      {"slice", {x({3, 7})}, [](const Inputs& in) { return slice(in[0], 1, 2, 5); }},
      {"slice with a step",
       {x({3, 7, 2})},
       [](const Inputs& in) { return slice(in[0], 1, 1, 7, 3); }},
      {"slice of nothing", {x({3, 7})}, [](const Inputs& in) { return slice(in[0], 1, 4, 4); }},
      {"pad",
       {x({2, 3, 4, 2})},
       [](const Inputs& in) {
         return pad(in[0], {{0, 0}, {1, 2}, {0, 3}, {2, 0}}, 0.5);
       }},

      {"reshape",
       {x({3, 4})},
       [](const Inputs& in) {
         return in[0].reshape({-1, 2, 2});
       }},
      {"index of a row",
       {{{5, 4}, between(-2, 2, 1), false}},
       [](const Inputs& in) { return in[0][3]; }},
      {"index of the last row",
       {{{5, 4}, between(-2, 2, 1), false}},
       [](const Inputs& in) { return in[0][-1]; }},
      {"clone", {x({3, 4})}, [](const Inputs& in) { return in[0].clone(); }},
      {"slice of columns as a view",
       {{{5, 4}, between(-2, 2, 1), false}},
       [](const Inputs& in) { return in[0].slice(1, 3); }},
  };
}

}  // namespace cks::testing
