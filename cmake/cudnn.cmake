# cuDNN, with which bench_conv compares CKS: the target cks_cudnn where it is found. Looked for in
# CUDNN_ROOT (a variable of CMake or of the environment), beside the CUDA toolkit, and where the system
# keeps libraries. Packages for Python have no file libcudnn.so, only libcudnn.so.9.
if(NOT CKS_ENABLE_CUDA OR CKS_CUDNN STREQUAL "OFF")
  return()
endif()
find_path(CKS_CUDNN_INCLUDE cudnn.h
  HINTS ${CUDNN_ROOT} $ENV{CUDNN_ROOT} ${CUDAToolkit_INCLUDE_DIRS} PATH_SUFFIXES include)
find_library(CKS_CUDNN_LIBRARY NAMES cudnn libcudnn.so.9
  HINTS ${CUDNN_ROOT} $ENV{CUDNN_ROOT} ${CUDAToolkit_LIBRARY_DIR} PATH_SUFFIXES lib lib64)
if(CKS_CUDNN_INCLUDE AND CKS_CUDNN_LIBRARY)
  add_library(cks_cudnn UNKNOWN IMPORTED)
  set_target_properties(cks_cudnn PROPERTIES
    IMPORTED_LOCATION ${CKS_CUDNN_LIBRARY}
    INTERFACE_INCLUDE_DIRECTORIES "${CKS_CUDNN_INCLUDE};${CUDAToolkit_INCLUDE_DIRS}")
elseif(CKS_CUDNN STREQUAL "ON")
  message(FATAL_ERROR "CKS_CUDNN=ON: cudnn.h or libcudnn was not found; set CUDNN_ROOT")
endif()
message(STATUS "cuDNN for bench_conv: ${CKS_CUDNN_LIBRARY}")
