#pragma once
#include <iostream>
#include <sstream>
#include <string>

namespace cks::testing {

/// What is written to a stream meanwhile.
template <class Body>
std::string captured(std::ostream& stream, Body&& body) {
  const std::ostringstream text;
  std::streambuf* const before = stream.rdbuf(text.rdbuf());
  body();
  stream.rdbuf(before);
  return text.str();
}

}  // namespace cks::testing
