#pragma once
#include <array>
#include <cstdint>

namespace cks::apps {

constexpr std::int64_t kGlyphWidth = 5;
constexpr std::int64_t kGlyphHeight = 9;
constexpr std::int64_t kCapitalHeight = 7;  // of the first rows; the others are below the line

/// Rows of a character, from the top; bit kGlyphWidth - 1 is the left pixel.
using Glyph = std::array<std::uint8_t, kGlyphHeight>;

/// A printable ASCII character; a box for any other.
const Glyph& glyph_of(char character);

}  // namespace cks::apps
