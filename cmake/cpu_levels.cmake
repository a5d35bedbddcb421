# cks_add_cpu_sources(<target> <files>): the sources of a library that compute on a CPU. With
# CKS_CPU_LEVELS they are compiled once for each level, in a namespace of its own (entry_point.h).
#
# A level's objects are joined to one in which no symbol but those of its namespace is global.
# Otherwise the linker, which keeps one copy of each inline function and template, of Eigen's and the
# standard library's as well, might give AVX-512 code to sources that run on every processor.
function(cks_add_cpu_sources target)
  if(NOT CKS_CPU_LEVELS)
    target_sources(${target} PRIVATE ${ARGN})
    return()
  endif()
  foreach(level v2 v3 v4)
    set(objects ${target}_${level})
    add_library(${objects} OBJECT ${ARGN})
    target_compile_definitions(${objects} PRIVATE CKS_CPU=cpu_${level})
    target_compile_options(${objects} PRIVATE -march=x86-64-${level} -fno-lto
      $<$<CXX_COMPILER_ID:GNU>:-fno-gnu-unique>)
    target_include_directories(${objects} PRIVATE ${CKS_INCLUDE_DIR})
    target_link_libraries(${objects} PRIVATE cks_compile_flags cks_fmt Eigen3::Eigen)
    set(joined ${CMAKE_CURRENT_BINARY_DIR}/${objects}.o)
    add_custom_command(OUTPUT ${joined}
      COMMAND ${CMAKE_LINKER} -r --force-group-allocation -o ${joined} $<TARGET_OBJECTS:${objects}>
      COMMAND ${CMAKE_OBJCOPY} --wildcard --keep-global-symbol=_ZN3cks7kernels6cpu_${level}* ${joined}
      DEPENDS ${objects} $<TARGET_OBJECTS:${objects}> COMMAND_EXPAND_LISTS VERBATIM)
    target_sources(${target} PRIVATE ${joined})
  endforeach()
endfunction()
