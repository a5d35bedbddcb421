# The CUDA backend. Explicit: asked for without a toolkit, configuration fails.
if(CKS_ENABLE_CUDA)
  # Volta's successors run the generic kernels from sm_75 code, Ampere and Ada sm_80's, Hopper its
  # own; newer GPUs compile the PTX when a program starts.
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 75-real 80-real 90a-real 90-virtual)
  endif()
  enable_language(CUDA)
  # Debian 12's CMake does not know how nvcc is told.
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
  endif()
  set(CMAKE_CUDA_STANDARD 20)
  set(CMAKE_CUDA_STANDARD_REQUIRED ON)
  find_package(CUDAToolkit 12 REQUIRED)
endif()

# cks/config.h: what this build was made with; the only header that differs between builds.
if(CKS_ENABLE_CUDA)
  set(CKS_HAS_CUDA 1)
  set(CKS_CUDA_ARCHITECTURES "${CMAKE_CUDA_ARCHITECTURES}")
else()
  set(CKS_HAS_CUDA 0)
  set(CKS_CUDA_ARCHITECTURES "")
endif()
set(CKS_HAS_CPU_LEVELS 0)
if(CKS_CPU_LEVELS)
  set(CKS_HAS_CPU_LEVELS 1)
endif()
include(cmake/distributed.cmake)
configure_file(${CMAKE_CURRENT_LIST_DIR}/config.h.in ${CKS_INCLUDE_DIR}/cks/config.h)
