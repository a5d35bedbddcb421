# cks_compile_flags: what every target of the project compiles with, and nobody who links to it.
add_library(cks_compile_flags INTERFACE)
target_compile_options(cks_compile_flags INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual>
  # GCC 12 reports "text" + std::string as overlapping memory (GCC bug 105329).
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>>:-Wno-restrict>
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<BOOL:${CKS_WERROR}>>:-Werror>
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<BOOL:${CKS_NATIVE}>>:-march=native>
  # Nobody reads errno behind mathematical functions or the flags of the floating-point unit, and values are the
  # same: choices between two values become vector instructions, square roots one instruction.
  $<$<COMPILE_LANGUAGE:CXX>:-fno-math-errno$<SEMICOLON>-fno-trapping-math>
  $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra>
  $<$<AND:$<COMPILE_LANGUAGE:CUDA>,$<BOOL:${CKS_WERROR}>>:-Werror=all-warnings>)

# GCC 12 compiles a constant such as std::vector<double>{1, 1, 1, 0} to {1, 1, 1, 1} where the target
# has AVX-512: it fills a register with the first word if all words but zeros at the end are equal.
# It does so only if it may move integers straight to vector registers.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  target_compile_options(cks_compile_flags INTERFACE
    $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:GNU>,$<VERSION_GREATER_EQUAL:$<CXX_COMPILER_VERSION>,12>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>>:-mtune-ctrl=^inter_unit_moves_to_vec>)
endif()

# With CMAKE_UNITY_BUILD the sources of a target are included by others, and GCC takes them for headers.
target_compile_options(cks_compile_flags INTERFACE
  $<$<AND:$<BOOL:${CMAKE_UNITY_BUILD}>,$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:GNU>>:-Wno-subobject-linkage>)

# Under sanitizers GCC takes its own checks for reads of unset memory (in <regex>, for one).
if(CKS_SANITIZE)
  target_compile_options(cks_compile_flags INTERFACE
    $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:GNU>>:-Wno-maybe-uninitialized>)
endif()
