#include <algorithm>
#include <cstring>
#include <limits>
#include <type_traits>

#include "cks/kernels/common/parallel_for.h"
#include "cks/kernels/common/simd.h"
#include "cks/kernels/common/taps.h"
#include "cks/kernels/pool2d/pool2d.h"

namespace cks::kernels::CKS_CPU {
namespace {

/// Calls body(c) for chunks of V channels that cover [0, C), V a compile-time number that fits into
/// vector registers. The last chunk overlaps its neighbour, so that no chunk is shorter: bodies
/// write the same values twice and accumulate nothing in memory.
template <int V, class Body>
void for_chunks(std::int64_t C, Body&& body) {
  for (std::int64_t c = 0; c + V <= C; c += V) {
    body(c);
  }
  if (C % V != 0) {
    body(C - V);
  }
}

/// V numbers in a register; comparisons give Mask.
template <class T, int V>
struct Lanes : Simd<T, V* static_cast<int>(sizeof(T))> {
  using Integer = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
  // NOLINTBEGIN(modernize-use-using): the attribute needs typedef
  typedef Integer Mask __attribute__((vector_size(V * sizeof(T))));
  typedef std::int32_t Index __attribute__((vector_size(V * 4)));
  typedef double Sum __attribute__((vector_size(V * sizeof(double))));
  // NOLINTEND(modernize-use-using)

  static Mask load_index(const std::int32_t* from) {
    Index value;
    std::memcpy(&value, from, sizeof(value));
    return __builtin_convertvector(value, Mask);
  }
  static void store_index(std::int32_t* to, Mask value) {
    const Index narrow = __builtin_convertvector(value, Index);
    std::memcpy(to, &narrow, sizeof(narrow));
  }
};

/// Calls body with the most channels of V, V/2, ... 1 that C fills, as an integral constant.
template <int V, class Body>
void visit_width(std::int64_t C, Body&& body) {
  if constexpr (V > 1) {
    if (C < V) {
      return visit_width<V / 2>(C, body);
    }
  }
  body(std::integral_constant<int, V>{});
}

/// Calls body(T{}, V) with the problem's type and the most channels that a register holds and C
/// fills.
template <class Body>
void visit(const char* operation, DType dtype, std::int64_t C, Body&& body) {
  visit_real(operation, dtype, [&]<class T>(T zero) {
    visit_width<kSimdBytes / static_cast<int>(sizeof(T))>(C, [&](auto v) { body(zero, v); });
  });
}

TapAxis rows_of(const Pool2dProblem& p) { return {p.IH, p.OH, p.FH, p.sh, p.pt, p.dh}; }
TapAxis columns_of(const Pool2dProblem& p) { return {p.IW, p.OW, p.FW, p.sw, p.pl, p.dw}; }

/// Whether the windows tile the image: every pixel lies in at most one of them.
bool tiles_image(const Pool2dProblem& p) {
  return p.sh == p.FH && p.sw == p.FW && p.dh == 1 && p.dw == 1 && p.pt == 0 && p.pb == 0 &&
         p.pl == 0 && p.pr == 0 && !p.overhangs();
}

/// The windows of one axis that span pixel i, advanced pixel by pixel instead of divided. A dilated
/// window also spans pixels that it does not read.
struct Spanning {
  explicit Spanning(const TapAxis& a) : axis(a), span((a.filter - 1) * a.dilation) {}
  void advance_to(std::int64_t i) {
    while (end < axis.out && end * axis.stride - axis.pad <= i) {
      ++end;
    }
    while (begin < end && begin * axis.stride - axis.pad + span < i) {
      ++begin;
    }
  }
  TapAxis axis;
  std::int64_t span;
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

/// One tap of a maximum: a larger number replaces, and so does a NaN; nothing but a NaN replaces a
/// NaN.
template <class T, int V>
inline void take_larger(typename Lanes<T, V>::Vec& best, typename Lanes<T, V>::Mask& where,
                        const T* from, std::int64_t pixel) {
  using L = Lanes<T, V>;
  const typename L::Vec value = L::load(from);
  const typename L::Mask wins = (value > best) | (value != value);
  const typename L::Mask here = typename L::Mask{} + static_cast<typename L::Integer>(pixel);
  best = wins ? value : best;
  where = wins ? here : where;
}

/// The index holds the pixel ih*IW+iw of each maximum, -1 where there is none.
template <class T, int V>
void max_forward(const Pool2dProblem& p, const T* x, T* y, std::int32_t* index) {
  using L = Lanes<T, V>;
  parallel_for_rows(p.N, p.OH, p.OW * p.C * p.FH * p.FW, [&](std::int64_t n, std::int64_t oh) {
    const T* image = x + n * p.IH * p.IW * p.C;
    const IndexRange fh = forward_taps(rows_of(p), oh);
    for (std::int64_t ow = 0; ow < p.OW; ++ow) {
      const IndexRange fw = forward_taps(columns_of(p), ow);
      const std::int64_t out = ((n * p.OH + oh) * p.OW + ow) * p.C;
      const std::int64_t corner = (oh * p.sh - p.pt) * p.IW + ow * p.sw - p.pl;
      // The first tap's pixel, which keeps a window full of -infinity; none in an empty window.
      const std::int64_t first =
          fh.size() * fw.size() == 0 ? -1 : corner + fh.begin * p.dh * p.IW + fw.begin * p.dw;
      for_chunks<V>(p.C, [&](std::int64_t c) {
        typename L::Vec best = typename L::Vec{} - std::numeric_limits<T>::infinity();
        typename L::Mask where = typename L::Mask{} + static_cast<typename L::Integer>(first);
        for (std::int64_t h = fh.begin; h < fh.end; ++h) {
          std::int64_t pixel = corner + h * p.dh * p.IW + fw.begin * p.dw;
          for (std::int64_t w = fw.begin; w < fw.end; ++w, pixel += p.dw) {
            take_larger<T, V>(best, where, image + pixel * p.C + c, pixel);
          }
        }
        L::store(y + out + c, best);
        L::store_index(index + out + c, where);
      });
    }
  });
}

/// Gradient of windows that tile the image: take_for(pixel)(out, oh, ow) gives what the V channels
/// of pixel ih*IW+iw take from those at element `out` of dY, in window (oh,ow). Pixels beyond the
/// last window get zeros.
template <class T, int V, class TakeFor>
void tiled_backward(const Pool2dProblem& p, T* dx, TakeFor&& take_for) {
  const std::int64_t row = p.IW * p.C;
  parallel_for_rows(p.N, p.OH, p.FH * row, [&](std::int64_t n, std::int64_t oh) {
    T* image = dx + n * p.IH * row;
    for (std::int64_t ow = 0; ow < p.OW; ++ow) {
      const std::int64_t out = ((n * p.OH + oh) * p.OW + ow) * p.C;
      for_chunks<V>(p.C, [&](std::int64_t c) {
        for (std::int64_t h = 0; h < p.FH; ++h) {
          for (std::int64_t w = 0; w < p.FW; ++w) {
            const std::int64_t pixel = (oh * p.FH + h) * p.IW + ow * p.FW + w;
            Lanes<T, V>::store(image + pixel * p.C + c, take_for(pixel)(out + c, oh, ow));
          }
        }
      });
    }
    for (std::int64_t h = 0; h < p.FH; ++h) {
      T* line = image + (oh * p.FH + h) * row;
      std::fill(line + p.OW * p.FW * p.C, line + row, T{0});
    }
    if (oh == p.OH - 1) {
      std::fill(image + p.OH * p.FH * row, image + p.IH * row, T{0});
    }
  });
}

/// Gradient of any windows: each pixel adds up its shares of the windows that span it, in order.
template <class T, int V, class TakeFor>
void gathered_backward(const Pool2dProblem& p, T* dx, TakeFor&& take_for) {
  using L = Lanes<T, V>;
  parallel_for_rows(p.N, p.IH, p.IW * p.C, [&](std::int64_t n, std::int64_t ih) {
    Spanning rows(rows_of(p));
    rows.advance_to(ih);
    Spanning columns(columns_of(p));
    for (std::int64_t iw = 0; iw < p.IW; ++iw) {
      columns.advance_to(iw);
      const std::int64_t pixel = ih * p.IW + iw;
      const auto take = take_for(pixel);
      for_chunks<V>(p.C, [&](std::int64_t c) {
        typename L::Sum sum{};
        for (std::int64_t oh = rows.begin; oh < rows.end; ++oh) {
          for (std::int64_t ow = columns.begin; ow < columns.end; ++ow) {
            const typename L::Vec share = take(((n * p.OH + oh) * p.OW + ow) * p.C + c, oh, ow);
            sum += __builtin_convertvector(share, typename L::Sum);
          }
        }
        L::store(dx + (n * p.IH * p.IW + pixel) * p.C + c,
                 __builtin_convertvector(sum, typename L::Vec));
      });
    }
  });
}

template <class T, int V, class TakeFor>
void backward(const Pool2dProblem& p, T* dx, TakeFor&& take_for) {
  if (tiles_image(p)) {
    tiled_backward<T, V>(p, dx, take_for);
  } else {
    gathered_backward<T, V>(p, dx, take_for);
  }
}

/// Each pixel takes the gradients of the windows whose maximum it was.
template <class T, int V>
void max_backward(const Pool2dProblem& p, const T* dy, const std::int32_t* index, T* dx) {
  using L = Lanes<T, V>;
  backward<T, V>(p, dx, [=](std::int64_t pixel) {
    const typename L::Mask here = typename L::Mask{} + static_cast<typename L::Integer>(pixel);
    return [=](std::int64_t out, std::int64_t, std::int64_t) {
      return L::load_index(index + out) == here ? L::load(dy + out) : typename L::Vec{};
    };
  });
}

/// What the sum of a window is divided by.
std::int64_t divisor_of(const Pool2dProblem& p, bool count_include_pad, std::int64_t oh,
                        std::int64_t ow) {
  return count_include_pad
             ? taps_before(p.pt + p.IH + p.pb, oh * p.sh, p.FH) *
                   taps_before(p.pl + p.IW + p.pr, ow * p.sw, p.FW)
             : forward_taps(rows_of(p), oh).size() * forward_taps(columns_of(p), ow).size();
}

template <class T, int V>
void avg_forward(const Pool2dProblem& p, bool count_include_pad, const T* x, T* y) {
  using L = Lanes<T, V>;
  parallel_for_rows(p.N, p.OH, p.OW * p.C * p.FH * p.FW, [&](std::int64_t n, std::int64_t oh) {
    const T* image = x + n * p.IH * p.IW * p.C;
    const IndexRange fh = forward_taps(rows_of(p), oh);
    for (std::int64_t ow = 0; ow < p.OW; ++ow) {
      const IndexRange fw = forward_taps(columns_of(p), ow);
      const auto divisor = static_cast<double>(divisor_of(p, count_include_pad, oh, ow));
      T* to = y + ((n * p.OH + oh) * p.OW + ow) * p.C;
      for_chunks<V>(p.C, [&](std::int64_t c) {
        typename L::Sum sum{};
        for (std::int64_t h = fh.begin; h < fh.end; ++h) {
          const std::int64_t row = (oh * p.sh - p.pt + h) * p.IW;
          for (std::int64_t w = fw.begin; w < fw.end; ++w) {
            sum += __builtin_convertvector(L::load(image + (row + ow * p.sw - p.pl + w) * p.C + c),
                                           typename L::Sum);
          }
        }
        L::store(to + c, __builtin_convertvector(sum / divisor, typename L::Vec));
      });
    }
  });
}

template <class T, int V>
void avg_backward(const Pool2dProblem& p, bool count_include_pad, const T* dy, T* dx) {
  using L = Lanes<T, V>;
  if ((count_include_pad && !p.overhangs()) || tiles_image(p)) {
    const auto divisor = static_cast<T>(p.FH * p.FW);
    backward<T, V>(p, dx, [=](std::int64_t) {
      return
          [=](std::int64_t out, std::int64_t, std::int64_t) { return L::load(dy + out) / divisor; };
    });
  } else {
    backward<T, V>(p, dx, [=, &p](std::int64_t) {
      return [=, &p](std::int64_t out, std::int64_t oh, std::int64_t ow) {
        return L::load(dy + out) / static_cast<T>(divisor_of(p, count_include_pad, oh, ow));
      };
    });
  }
}

template <class T, int V>
void global_forward(std::int64_t N, std::int64_t pixels, std::int64_t C, const T* x, T* y) {
  parallel_for(N, [&](std::int64_t n) {
    for_chunks<V>(C, [&](std::int64_t c) {
      double sum[V] = {};
      const T* from = x + n * pixels * C + c;
      for (std::int64_t pixel = 0; pixel < pixels; ++pixel, from += C) {
        for (int v = 0; v < V; ++v) {
          sum[v] += static_cast<double>(from[v]);
        }
      }
      for (int v = 0; v < V; ++v) {
        y[n * C + c + v] = static_cast<T>(sum[v] / static_cast<double>(pixels));
      }
    });
  });
}

template <class T>
void global_backward(std::int64_t N, std::int64_t pixels, std::int64_t C, const T* dy, T* dx) {
  parallel_for(N, [&](std::int64_t n) {
    T* first = dx + n * pixels * C;
    for (std::int64_t c = 0; c < C; ++c) {
      first[c] = dy[n * C + c] / static_cast<T>(pixels);
    }
    for (std::int64_t pixel = 1; pixel < pixels; ++pixel) {
      std::copy(first, first + C, first + pixel * C);
    }
  });
}

}  // namespace

std::size_t max_pool2d_index_bytes(const Pool2dProblem& p) {
  return static_cast<std::size_t>(p.N * p.OH * p.OW * p.C) * sizeof(std::int32_t);
}

void max_pool2d_forward(const Pool2dProblem& problem, const void* x, void* y, void* index) {
  visit("max_pool2d", problem.dtype, problem.C, [&]<class T>(T, auto V) {
    max_forward<T, V>(problem, static_cast<const T*>(x), static_cast<T*>(y),
                      static_cast<std::int32_t*>(index));
  });
}

void max_pool2d_backward(const Pool2dProblem& problem, const void* dy, const void* index,
                         void* dx) {
  visit("max_pool2d", problem.dtype, problem.C, [&]<class T>(T, auto V) {
    max_backward<T, V>(problem, static_cast<const T*>(dy), static_cast<const std::int32_t*>(index),
                       static_cast<T*>(dx));
  });
}

void avg_pool2d_forward(const Pool2dProblem& problem, bool count_include_pad, const void* x,
                        void* y) {
  visit("avg_pool2d", problem.dtype, problem.C, [&]<class T>(T, auto V) {
    avg_forward<T, V>(problem, count_include_pad, static_cast<const T*>(x), static_cast<T*>(y));
  });
}

void avg_pool2d_backward(const Pool2dProblem& problem, bool count_include_pad, const void* dy,
                         void* dx) {
  visit("avg_pool2d", problem.dtype, problem.C, [&]<class T>(T, auto V) {
    avg_backward<T, V>(problem, count_include_pad, static_cast<const T*>(dy), static_cast<T*>(dx));
  });
}

void global_avg_pool2d_forward(DType dtype, std::int64_t N, std::int64_t pixels, std::int64_t C,
                               const void* x, void* y) {
  visit("global_avg_pool2d", dtype, C, [&]<class T>(T, auto V) {
    global_forward<T, V>(N, pixels, C, static_cast<const T*>(x), static_cast<T*>(y));
  });
}

void global_avg_pool2d_backward(DType dtype, std::int64_t N, std::int64_t pixels, std::int64_t C,
                                const void* dy, void* dx) {
  visit_real("global_avg_pool2d", dtype, [&]<class T>(T) {
    global_backward<T>(N, pixels, C, static_cast<const T*>(dy), static_cast<T*>(dx));
  });
}

}  // namespace cks::kernels::CKS_CPU
