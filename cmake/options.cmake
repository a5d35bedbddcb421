# Every option of the build. All are prefixed with CKS_; defaults suit a developer at the top level
# and a packager or a parent project elsewhere.
option(CKS_BUILD_TESTS "Build the tests" ${PROJECT_IS_TOP_LEVEL})
option(CKS_BUILD_APPS "Build the applications" ${PROJECT_IS_TOP_LEVEL})
option(CKS_BUILD_FUZZERS "Fuzzers of what reads bytes from outside, the target fuzzers; needs clang" OFF)
option(CKS_NATIVE "Compile everything for this machine's processor; runs on no lesser one" OFF)
option(CKS_ENABLE_CUDA "Build the CUDA backend; needs the CUDA toolkit, not a GPU" OFF)
set(CKS_CUDNN AUTO CACHE STRING "cuDNN beside CKS in bench_conv: AUTO (if it is found), ON or OFF")
# Off unless asked for: a program that was built with them needs their shared libraries to start.
option(CKS_WITH_NCCL "Train on several GPUs; needs NCCL (NCCL_ROOT says where) and CKS_ENABLE_CUDA" OFF)
option(CKS_WITH_MPI "Train with several processes, on one machine or many; needs an MPI library" OFF)
option(CKS_WERROR "Treat warnings as errors" OFF)
set(CKS_SANITIZE "" CACHE STRING "Sanitizers, as in -fsanitize=: address,undefined or thread")
include(CMakeDependentOption)
cmake_dependent_option(CKS_CPU_LEVELS
  "Compile kernels for x86-64-v2, v3 and v4, one of which is chosen at run time" ON
  "CMAKE_SYSTEM_NAME STREQUAL Linux;CMAKE_SYSTEM_PROCESSOR MATCHES \"x86_64|AMD64\";NOT CKS_NATIVE;NOT CKS_SANITIZE" OFF)
set(CKS_DEPS_DIR "" CACHE PATH "Folder made by scripts/deps.sh: headers for a machine without a network")

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Debug, Release or RelWithDebInfo" FORCE)
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Debug")
  message(WARNING "cks: a Debug build computes many times slower than a Release build")
endif()

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(PROJECT_IS_TOP_LEVEL)
  set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
endif()
