# Each dependency: the system's package first, otherwise pinned sources, otherwise CKS_DEPS_DIR (see
# scripts/deps.sh), which goes first when it is set. None of them shows in a public header.
include(FetchContent)
if(EMSCRIPTEN)
  add_library(Threads::Threads INTERFACE IMPORTED GLOBAL)  # one thread, of which the standard library knows
else()
  find_package(Threads REQUIRED)
endif()

function(cks_header_library target folder)
  if(NOT EXISTS ${CKS_DEPS_DIR}/${folder})
    message(FATAL_ERROR "CKS_DEPS_DIR=${CKS_DEPS_DIR} lacks ${folder}; make it with scripts/deps.sh")
  endif()
  string(REPLACE "::" "_" plain ${target})
  add_library(${plain} INTERFACE IMPORTED GLOBAL)
  target_include_directories(${plain} INTERFACE ${CKS_DEPS_DIR}/${folder})
  add_library(${target} ALIAS ${plain})
endfunction()

if(CKS_DEPS_DIR)
  cks_header_library(Eigen3::Eigen eigen)
  cks_header_library(spdlog::spdlog spdlog)
  cks_header_library(nlohmann_json::nlohmann_json json)
  cks_header_library(CLI11::CLI11 cli11)
  cks_header_library(doctest::doctest doctest)
  cks_header_library(stb::stb stb)
  # fmt, which Debian's spdlog headers ask for, header-only as well.
  target_compile_definitions(spdlog_spdlog INTERFACE SPDLOG_FMT_EXTERNAL FMT_HEADER_ONLY)
  add_library(cks_fmt INTERFACE IMPORTED GLOBAL)
  target_include_directories(cks_fmt INTERFACE ${CKS_DEPS_DIR}/spdlog)
  if(NOT EMSCRIPTEN)
    set(ZLIB_ROOT ${CKS_DEPS_DIR}/zlib)
    find_package(ZLIB REQUIRED)
  endif()
  return()
endif()

find_package(Eigen3 3.4 NO_MODULE QUIET)
if(NOT TARGET Eigen3::Eigen)
  FetchContent_Declare(eigen SYSTEM
    URL https://gitlab.com/libeigen/eigen/-/archive/3.4.0/eigen-3.4.0.tar.gz
    URL_HASH SHA256=8586084f71f9bde545ee7fa6d00288b264a2b7ac3607b974e54d13e7162c1c72
    SOURCE_SUBDIR none)
  FetchContent_MakeAvailable(eigen)
  add_library(cks_eigen INTERFACE IMPORTED GLOBAL)
  target_include_directories(cks_eigen INTERFACE ${eigen_SOURCE_DIR})
  add_library(Eigen3::Eigen ALIAS cks_eigen)
endif()

# fmt's headers alone: kernels/common/formatted.cpp compiles what the whole project uses of it.
FetchContent_Declare(fmt SYSTEM
  GIT_REPOSITORY https://github.com/fmtlib/fmt.git GIT_TAG 9.1.0
  FIND_PACKAGE_ARGS 9.1)
FetchContent_MakeAvailable(fmt)
add_library(cks_fmt INTERFACE IMPORTED GLOBAL)
target_include_directories(cks_fmt INTERFACE
  $<TARGET_PROPERTY:fmt::fmt-header-only,INTERFACE_INCLUDE_DIRECTORIES>)

FetchContent_Declare(nlohmann_json SYSTEM
  GIT_REPOSITORY https://github.com/nlohmann/json.git GIT_TAG v3.11.2
  FIND_PACKAGE_ARGS 3.11)
FetchContent_MakeAvailable(nlohmann_json)
find_package(ZLIB REQUIRED)

# stb has neither versions nor a package file: this is the state that Debian 12 has.
find_path(CKS_STB_INCLUDE_DIR stb_image.h PATH_SUFFIXES stb)
mark_as_advanced(CKS_STB_INCLUDE_DIR)
if(NOT CKS_STB_INCLUDE_DIR)
  FetchContent_Declare(stb SYSTEM
    GIT_REPOSITORY https://github.com/nothings/stb.git
    GIT_TAG 8b5f1f37b5b75829fc72d38e7b5d4bcbf8a26d55)
  FetchContent_MakeAvailable(stb)
  set(CKS_STB_INCLUDE_DIR ${stb_SOURCE_DIR})
endif()
add_library(stb_stb INTERFACE IMPORTED GLOBAL)
target_include_directories(stb_stb INTERFACE ${CKS_STB_INCLUDE_DIR})
add_library(stb::stb ALIAS stb_stb)

if(CKS_BUILD_APPS)
  FetchContent_Declare(CLI11 SYSTEM
    GIT_REPOSITORY https://github.com/CLIUtils/CLI11.git GIT_TAG v2.1.2
    FIND_PACKAGE_ARGS 2.1)
  set(SPDLOG_FMT_EXTERNAL ON)
  FetchContent_Declare(spdlog SYSTEM
    GIT_REPOSITORY https://github.com/gabime/spdlog.git GIT_TAG v1.10.0
    FIND_PACKAGE_ARGS 1.10)
  FetchContent_MakeAvailable(CLI11 spdlog)
endif()
if(CKS_BUILD_TESTS)
  FetchContent_Declare(doctest SYSTEM
    GIT_REPOSITORY https://github.com/doctest/doctest.git GIT_TAG v2.4.9
    FIND_PACKAGE_ARGS 2.4.9)
  FetchContent_MakeAvailable(doctest)
endif()
