#include "cks/kernels/conv2d/problem.h"

#include <algorithm>
#include <initializer_list>
#include <limits>

#include "cks/kernels/common/formatted_impl.h"

// Extents are bounded so that no product of the kernels can overflow 64 bits: each extent below
// 2^31, each tensor below 2^62 elements, all multiply-adds below 2^62.
namespace cks::kernels {
namespace {

constexpr std::int64_t kMaxExtent = std::numeric_limits<std::int32_t>::max();
constexpr std::int64_t kMaxProduct = std::int64_t{1} << 62;

std::string pair_of(const Size2& size) { return formatted("{}x{}", size.h, size.w); }

/// Everything that the user stated, for the end of a message.
std::string shapes_of(const Conv2dSizes& s) {
  return formatted(
      " (input [{},{},{},{}], filter [{},{},{},{}], stride {{{},{}}}, padding {{{},{},{},{}}}, "
      "dilation {{{},{}}}, groups {})",
      s.N, s.IH, s.IW, s.IC, s.OC, s.FH, s.FW, s.groups > 0 ? s.IC / s.groups : 0, s.stride.h,
      s.stride.w, s.padding.top, s.padding.bottom, s.padding.left, s.padding.right, s.dilation.h,
      s.dilation.w, s.groups);
}

/// The checks of one call; every failure is prefixed with the operation and ends with all shapes.
class SizeCheck {
 public:
  SizeCheck(const Conv2dSizes& sizes, const char* operation)
      : sizes_(sizes), operation_(operation) {}

  [[noreturn]] void fail(const std::string& what) const {
    throw ShapeError(formatted("{}: {}{}", operation_, what, shapes_of(sizes_)));
  }

  void at_least(const char* name, std::int64_t value, std::int64_t least) const {
    if (value < least || value > kMaxExtent) {
      fail(formatted("{} is {}, expected at {} {}", name, value, value < least ? "least" : "most",
                     value < least ? least : kMaxExtent));
    }
  }

  void divides(const char* name, std::int64_t channels) const {
    if (channels % sizes_.groups != 0) {
      fail(formatted("{} {} do not divide by groups {}", name, channels, sizes_.groups));
    }
  }

  void product(const char* name, std::initializer_list<std::int64_t> factors) const {
    std::int64_t product = 1;
    for (const std::int64_t factor : factors) {
      if (factor != 0 && product > kMaxProduct / factor) {
        fail(formatted("{} exceed 2^62", name));
      }
      product *= factor;
    }
  }

  void sizes() const {
    const Conv2dSizes& s = sizes_;
    at_least("batch size", s.N, 0);
    at_least("input height", s.IH, 1);
    at_least("input width", s.IW, 1);
    at_least("input channels", s.IC, 1);
    at_least("output channels", s.OC, 1);
    at_least("filter height", s.FH, 1);
    at_least("filter width", s.FW, 1);
    at_least("row stride", s.stride.h, 1);
    at_least("column stride", s.stride.w, 1);
    at_least("row dilation", s.dilation.h, 1);
    at_least("column dilation", s.dilation.w, 1);
    at_least("top padding", s.padding.top, 0);
    at_least("bottom padding", s.padding.bottom, 0);
    at_least("left padding", s.padding.left, 0);
    at_least("right padding", s.padding.right, 0);
    at_least("groups", s.groups, 1);
    divides("input channels", s.IC);
    divides("output channels", s.OC);
    if (!is_floating(s.dtype)) {
      throw DtypeError(formatted("{}: dtype {}, expected float32, bfloat16 or float64{}",
                                 operation_, s.dtype, shapes_of(s)));
    }
  }

 private:
  const Conv2dSizes& sizes_;
  const char* operation_;
};

/// Dense pixels, one dtype; every extent of `sizes` is that of the problem, whose products fit.
Conv2dProblem complete(const SizeCheck& check, const Conv2dSizes& s, std::int64_t output_height,
                       std::int64_t output_width) {
  const Conv2dProblem p{.N = s.N,
                        .IH = s.IH,
                        .IW = s.IW,
                        .IC = s.IC,
                        .OC = s.OC,
                        .FH = s.FH,
                        .FW = s.FW,
                        .OH = output_height,
                        .OW = output_width,
                        .sh = s.stride.h,
                        .sw = s.stride.w,
                        .pt = s.padding.top,
                        .pb = s.padding.bottom,
                        .pl = s.padding.left,
                        .pr = s.padding.right,
                        .dh = s.dilation.h,
                        .dw = s.dilation.w,
                        .G = s.groups,
                        .x_pitch = s.IC,
                        .y_pitch = s.OC,
                        .x_type = s.dtype,
                        .w_type = s.dtype,
                        .y_type = s.dtype};
  check.product("elements of the input", {p.N, p.IH, p.IW, p.IC});
  check.product("elements of the output", {p.N, p.OH, p.OW, p.OC});
  check.product("multiply-adds",
                {p.N, std::max(p.IH, p.OH), std::max(p.IW, p.OW), p.OC, p.FH, p.FW, p.IC / p.G});
  return p;
}

}  // namespace

Conv2dProblem make_conv2d_problem(const Conv2dSizes& sizes, const char* operation) {
  const SizeCheck check(sizes, operation);
  check.sizes();
  const Conv2dSizes& s = sizes;
  const std::int64_t pad_h = s.padding.top + s.padding.bottom;
  const std::int64_t pad_w = s.padding.left + s.padding.right;
  const std::int64_t height = conv_output_extent(s.IH, pad_h, s.FH, s.stride.h, s.dilation.h);
  const std::int64_t width = conv_output_extent(s.IW, pad_w, s.FW, s.stride.w, s.dilation.w);
  if (height < 1 || width < 1) {
    check.fail(formatted(
        "the filter exceeds the padded input: it spans {} pixels, the padded input has {}",
        pair_of({s.dilation.h * (s.FH - 1) + 1, s.dilation.w * (s.FW - 1) + 1}),
        pair_of({s.IH + pad_h, s.IW + pad_w})));
  }
  return complete(check, s, height, width);
}

Conv2dProblem make_conv_transpose2d_problem(const Conv2dSizes& sizes, Size2 output_padding,
                                            const char* operation) {
  const SizeCheck check(sizes, operation);
  check.sizes();
  const Conv2dSizes& s = sizes;
  check.at_least("row output padding", output_padding.h, 0);
  check.at_least("column output padding", output_padding.w, 0);
  if (output_padding.h >= std::max(s.stride.h, s.dilation.h) ||
      output_padding.w >= std::max(s.stride.w, s.dilation.w)) {
    check.fail(formatted(
        "output padding is {}, expected less than the larger of stride and dilation, {}",
        pair_of(output_padding),
        pair_of({std::max(s.stride.h, s.dilation.h), std::max(s.stride.w, s.dilation.w)})));
  }
  Conv2dSizes mirrored = s;
  mirrored.IC = s.OC;
  mirrored.OC = s.IC;
  mirrored.IH = (s.IH - 1) * s.stride.h - s.padding.top - s.padding.bottom +
                s.dilation.h * (s.FH - 1) + output_padding.h + 1;
  mirrored.IW = (s.IW - 1) * s.stride.w - s.padding.left - s.padding.right +
                s.dilation.w * (s.FW - 1) + output_padding.w + 1;
  if (mirrored.IH < 1 || mirrored.IW < 1) {
    check.fail(formatted("the result would have {}x{} pixels", mirrored.IH, mirrored.IW));
  }
  check.at_least("result height", mirrored.IH, 1);
  check.at_least("result width", mirrored.IW, 1);
  return complete(check, mirrored, s.IH, s.IW);
}

std::string to_string(const Conv2dProblem& p) {
  std::string text = formatted(
      "N{} {}x{}x{} -> {}x{}x{}, filter {}x{}, stride {}x{}, padding {},{},{},{}, dilation {}x{}, "
      "groups {}",
      p.N, p.IH, p.IW, p.IC, p.OH, p.OW, p.OC, p.FH, p.FW, p.sh, p.sw, p.pt, p.pb, p.pl, p.pr, p.dh,
      p.dw, p.G);
  if (p.x_pitch != p.IC || p.y_pitch != p.OC) {
    text += formatted(", pitch {} and {}", p.x_pitch, p.y_pitch);
  }
  text += formatted(", {}", p.x_type);
  if (p.w_type != p.x_type || p.y_type != p.x_type) {
    text += formatted(" {} {}", p.w_type, p.y_type);
  }
  return text + " " + name_of(p.precision);
}

}  // namespace cks::kernels
