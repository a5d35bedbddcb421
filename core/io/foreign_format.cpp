#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "cks/core/io/foreign_format_impl.h"

namespace cks {

const char* foreign_format(std::string_view head) {
  constexpr std::array<std::pair<std::string_view, const char*>, 9> kFormats{{
      {"\x89PNG", "a PNG picture"},
      {"\xff\xd8\xff", "a JPEG picture"},
      {"PK\x03\x04", "a ZIP archive, as PyTorch's .pt and .pth files are"},
      {"\x1f\x8b", "compressed with gzip"},
      {"%pdf", "a PDF document"},
      {"version https://git-lfs",
       "a Git LFS pointer in place of the file: git lfs pull fetches it"},
      {"<!doctype html", "an HTML page, as servers send in place of a file"},
      {"<html", "an HTML page, as servers send in place of a file"},
      {"<?xml", "an XML document, as servers send in place of a file"},
  }};
  while (!head.empty() && std::isspace(static_cast<unsigned char>(head.front())) != 0) {
    head.remove_prefix(1);
  }
  const auto begins = [&](std::string_view mark) {
    return head.size() >= mark.size() &&
           std::equal(mark.begin(), mark.end(), head.begin(), [](char a, char b) {
             return a == b || a == std::tolower(static_cast<unsigned char>(b));
           });
  };
  for (const auto& [mark, name] : kFormats) {
    if (begins(mark)) {
      return name;
    }
  }
  return nullptr;
}

std::string describe_foreign(std::string_view head) {
  const char* const format = foreign_format(head);
  return format == nullptr ? std::string() : std::string("; it is ") + format;
}

}  // namespace cks
