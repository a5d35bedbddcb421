# NCCL and MPI, which carry what the ranks of a training run exchange. Found, never fetched.
if(CKS_WITH_NCCL)
  if(NOT CKS_ENABLE_CUDA)
    message(FATAL_ERROR "CKS_WITH_NCCL=ON needs CKS_ENABLE_CUDA=ON")
  endif()
  # Debian's libnccl-dev, what lies beside the CUDA toolkit, or the package nvidia-nccl for Python, which
  # has no libnccl.so, only libnccl.so.2.
  find_path(CKS_NCCL_INCLUDE nccl.h
    HINTS ${NCCL_ROOT} $ENV{NCCL_ROOT} ${CUDAToolkit_INCLUDE_DIRS} PATH_SUFFIXES include)
  find_library(CKS_NCCL_LIBRARY NAMES nccl libnccl.so.2
    HINTS ${NCCL_ROOT} $ENV{NCCL_ROOT} ${CUDAToolkit_LIBRARY_DIR} ${CUDAToolkit_LIBRARY_DIR}/..
    PATH_SUFFIXES lib lib64)
  if(NOT CKS_NCCL_INCLUDE OR NOT CKS_NCCL_LIBRARY)
    message(FATAL_ERROR "CKS_WITH_NCCL=ON: nccl.h or libnccl was not found; set NCCL_ROOT")
  endif()
  message(STATUS "NCCL: ${CKS_NCCL_LIBRARY}")
endif()
if(CKS_WITH_MPI)
  set(MPI_CXX_SKIP_MPICXX ON)  # its C interface alone
  find_package(MPI REQUIRED COMPONENTS CXX)
  message(STATUS "MPI: ${MPI_CXX_LIBRARIES}")
endif()
