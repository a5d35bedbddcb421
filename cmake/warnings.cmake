# cks_compile_flags: what every target of the project compiles with, and nobody who links to it.
add_library(cks_compile_flags INTERFACE)
target_compile_options(cks_compile_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual
  $<$<BOOL:${CKS_WERROR}>:-Werror>
  $<$<BOOL:${CKS_NATIVE}>:-march=native>)
