# cks_compile_flags: what every target of the project compiles with, and nobody who links to it.
add_library(cks_compile_flags INTERFACE)
target_compile_options(cks_compile_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual
  # GCC 12 reports "text" + std::string as overlapping memory (GCC bug 105329).
  $<$<AND:$<CXX_COMPILER_ID:GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>>:-Wno-restrict>
  $<$<BOOL:${CKS_WERROR}>:-Werror>
  $<$<BOOL:${CKS_NATIVE}>:-march=native>)
