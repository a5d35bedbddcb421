# The fuzzers are compiled by clang, with its sanitizers, whatever compiles the rest.
if(CKS_BUILD_FUZZERS)
  include(ExternalProject)
  ExternalProject_Add(fuzzers
    SOURCE_DIR ${PROJECT_SOURCE_DIR}/tests/fuzz
    BINARY_DIR ${PROJECT_BINARY_DIR}/fuzz
    PREFIX ${PROJECT_BINARY_DIR}/fuzz/external
    CMAKE_ARGS -DCMAKE_CXX_COMPILER=clang++ -DCKS_BUILD=${PROJECT_BINARY_DIR} -DCKS_DEPS_DIR=${CKS_DEPS_DIR}
    INSTALL_COMMAND ""
    DEPENDS cks_train
    BUILD_ALWAYS ON
    EXCLUDE_FROM_ALL ON)
endif()
