# The library for a browser, by Emscripten (scripts/web.sh): one thread, vectors of 16 bytes,
# exceptions of WebAssembly's own. a * b + c is rounded twice, so that convolutions have the bits of a
# native build for SSE2 without contraction.
if(EMSCRIPTEN)
  set(CMAKE_POSITION_INDEPENDENT_CODE OFF)
  add_compile_options(-msimd128 -fwasm-exceptions -ffp-contract=off)
  add_link_options(-fwasm-exceptions)
endif()
