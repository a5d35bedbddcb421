#pragma once
#include <cstdint>

/// Products of the tensor cores of compute capability 9.0: a warpgroup of 128 threads adds
/// A [64 x K] * B [K x N] to float32 sums in its registers, K being 32 bytes of elements.
///
/// Sums     element s[4*j + 2*i + c] of lane (g = lane/4, t = lane%4) of warp w is that of row
///          16*w + 8*i + g and column 8*j + 2*t + c.
/// Tiles    rows of 128 bytes swizzled over 128 bytes, as the copy engine leaves them, from a
///          multiple of 1024 bytes on.
/// Order    fence_sums(), products, commit_products(), wait_for_products<k>().
/// Sums of one kernel must be disjoint or begin at the same register, and no product may stand
/// under a condition of the run, else the compiler makes all of them wait (C7510 to C7520).
/// Source   "Asynchronous warpgroup level matrix instructions", PTX ISA 9.0.
namespace cks::kernels::hopper {

__device__ __forceinline__ void fence_sums() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ __forceinline__ void commit_products() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
/// Until at most kPending committed groups are unfinished.
template <int kPending>
__device__ __forceinline__ void wait_for_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

/// Where an operand lies: K-major (a row is one row of A or column of B) or transposed (a row is
/// one k of 64 rows or columns; not tf32).
///
/// group_pitch  bytes from 8 rows to the next 8
/// block_pitch  transposed: bytes from 64 rows or columns to the next 64
__device__ __forceinline__ std::uint64_t operand(std::uint32_t address,
                                                 std::uint32_t group_pitch = 1024,
                                                 std::uint32_t block_pitch = 16) {
  constexpr std::uint64_t kSwizzle128 = std::uint64_t{1} << 62;
  return kSwizzle128 | std::uint64_t{group_pitch >> 4} << 32 |
         std::uint64_t{(block_pitch >> 4) & 0x3fff} << 16 | std::uint64_t{(address >> 4) & 0x3fff};
}
/// The operand that lies `bytes` further on: one addition, where operand() takes several
/// instructions. (Addresses of shared memory end before the 14 bits do.)
__device__ __forceinline__ std::uint64_t moved(std::uint64_t operand, std::uint32_t bytes) {
  const auto address = static_cast<std::uint32_t>(operand) + (bytes >> 4);
  return operand >> 32 << 32 | address;
}
/// Bytes from 32 bytes of K to the next.
inline constexpr std::uint32_t kNextK = 32;
inline constexpr std::uint32_t kNextTransposedK = 2048;

// The registers of the sums, written out for each width: the assembler takes no arrays.
// clang-format off
#define CKS_SUMS4(i) "+f"(s[i]), "+f"(s[i + 1]), "+f"(s[i + 2]), "+f"(s[i + 3])
#define CKS_SUMS16(i) CKS_SUMS4(i), CKS_SUMS4(i + 4), CKS_SUMS4(i + 8), CKS_SUMS4(i + 12)
#define CKS_SUMS32 CKS_SUMS16(0), CKS_SUMS16(16)
#define CKS_SUMS64 CKS_SUMS32, CKS_SUMS16(32), CKS_SUMS16(48)
#define CKS_SUMS128 CKS_SUMS64, CKS_SUMS16(64), CKS_SUMS16(80), CKS_SUMS16(96), CKS_SUMS16(112)
#define CKS_NAMES32 \
  "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25," \
  "%26,%27,%28,%29,%30,%31"
#define CKS_NAMES64 CKS_NAMES32 \
  ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54," \
  "%55,%56,%57,%58,%59,%60,%61,%62,%63"
#define CKS_NAMES128 CKS_NAMES64 \
  ",%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79,%80,%81,%82,%83,%84,%85,%86," \
  "%87,%88,%89,%90,%91,%92,%93,%94,%95,%96,%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107," \
  "%108,%109,%110,%111,%112,%113,%114,%115,%116,%117,%118,%119,%120,%121,%122,%123,%124,%125," \
  "%126,%127"
#define CKS_MULTIPLY(width, sums, form, operands, adds_at, ...)                             \
  asm volatile("{.reg .pred p; setp.ne.b32 p, " adds_at ", 0; "                             \
               "wgmma.mma_async.sync.aligned.m64n" #width form " {" CKS_NAMES##sums "}, "   \
               operands ";}" : CKS_SUMS##sums : __VA_ARGS__)
#define CKS_MULTIPLY_NARROW(width, sums, operands, adds_at, ...)                            \
  if constexpr (kFloat16) {                                                                 \
    CKS_MULTIPLY(width, sums, "k16.f32.f16.f16", operands, adds_at, __VA_ARGS__);           \
  } else {                                                                                  \
    CKS_MULTIPLY(width, sums, "k16.f32.bf16.bf16", operands, adds_at, __VA_ARGS__);         \
  }
// clang-format on

/// sums = adds ? sums + A*B : A*B for bfloat16, or for float16, K = 16.
template <int kColumns, bool kLeftTransposed, bool kRightTransposed, bool kFloat16 = false>
__device__ __forceinline__ void multiply_narrow(float* s, std::uint64_t left, std::uint64_t right,
                                                bool adds) {
  static_assert(kColumns == 64 || kColumns == 128 || kColumns == 256, "columns of a product");
  constexpr int kLeft = kLeftTransposed ? 1 : 0, kRight = kRightTransposed ? 1 : 0;
  const int flag = adds ? 1 : 0;
  if constexpr (kColumns == 64) {
    CKS_MULTIPLY_NARROW(64, 32, "%32, %33, p, 1, 1, %35, %36", "%34", "l"(left), "l"(right),
                        "r"(flag), "n"(kLeft), "n"(kRight));
  } else if constexpr (kColumns == 128) {
    CKS_MULTIPLY_NARROW(128, 64, "%64, %65, p, 1, 1, %67, %68", "%66", "l"(left), "l"(right),
                        "r"(flag), "n"(kLeft), "n"(kRight));
  } else {
    CKS_MULTIPLY_NARROW(256, 128, "%128, %129, p, 1, 1, %131, %132", "%130", "l"(left), "l"(right),
                        "r"(flag), "n"(kLeft), "n"(kRight));
  }
}

/// As above for tf32, K = 8, both operands K-major.
template <int kColumns>
__device__ __forceinline__ void multiply_tf32(float* s, std::uint64_t left, std::uint64_t right,
                                              bool adds) {
  static_assert(kColumns == 64 || kColumns == 128 || kColumns == 256, "columns of a product");
  const int flag = adds ? 1 : 0;
  if constexpr (kColumns == 64) {
    CKS_MULTIPLY(64, 32, "k8.f32.tf32.tf32", "%32, %33, p, 1, 1", "%34", "l"(left), "l"(right),
                 "r"(flag));
  } else if constexpr (kColumns == 128) {
    CKS_MULTIPLY(128, 64, "k8.f32.tf32.tf32", "%64, %65, p, 1, 1", "%66", "l"(left), "l"(right),
                 "r"(flag));
  } else {
    CKS_MULTIPLY(256, 128, "k8.f32.tf32.tf32", "%128, %129, p, 1, 1", "%130", "l"(left), "l"(right),
                 "r"(flag));
  }
}

/// As multiply_narrow() with A in registers: pairs (g,2t), (g+8,2t), (g,2t+8), (g+8,2t+8), each
/// with the element behind it.
template <int kColumns, bool kRightTransposed, bool kFloat16 = false>
__device__ __forceinline__ void multiply_narrow_from(float* s, const std::uint32_t (&left)[4],
                                                     std::uint64_t right, bool adds) {
  static_assert(kColumns == 64 || kColumns == 128, "columns of a product");
  constexpr int kRight = kRightTransposed ? 1 : 0;
  const int flag = adds ? 1 : 0;
  if constexpr (kColumns == 64) {
    CKS_MULTIPLY_NARROW(64, 32, "{%32,%33,%34,%35}, %36, p, 1, 1, %38", "%37", "r"(left[0]),
                        "r"(left[1]), "r"(left[2]), "r"(left[3]), "l"(right), "r"(flag),
                        "n"(kRight));
  } else {
    CKS_MULTIPLY_NARROW(128, 64, "{%64,%65,%66,%67}, %68, p, 1, 1, %70", "%69", "r"(left[0]),
                        "r"(left[1]), "r"(left[2]), "r"(left[3]), "l"(right), "r"(flag),
                        "n"(kRight));
  }
}

#undef CKS_MULTIPLY_NARROW
#undef CKS_MULTIPLY
#undef CKS_NAMES128
#undef CKS_NAMES64
#undef CKS_NAMES32
#undef CKS_SUMS128
#undef CKS_SUMS64
#undef CKS_SUMS32
#undef CKS_SUMS16
#undef CKS_SUMS4

}  // namespace cks::kernels::hopper
