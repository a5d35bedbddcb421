# cpack: Debian's packages cks (programs) and libcks-dev (library) with CKS_DEBIAN, an archive of both
# otherwise. scripts/packages.sh makes them.
#
# The library is static alone: until 1.0.0 its interface may change with each MINOR. What the programs share
# (apps/CMakeLists.txt) is theirs alone.
set(CKS_DESCRIPTION "CKS trains convolutional networks on MNIST, CIFAR or folders of pictures, on
processors from x86-64-v2 on, and skips the zeros that padding and stride put
into convolutions. It reads and writes PyTorch's weights.")
set(CPACK_PACKAGE_NAME cks)
set(CPACK_PACKAGE_VENDOR "The CKS maintainers")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGE_CONTACT "${CKS_MAINTAINER}")
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
    OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
# Of this project alone, not of dependencies that were fetched.
set(CPACK_COMPONENTS_ALL programs development)

if(CKS_DEBIAN)
  set(CPACK_GENERATOR DEB)
  set(CPACK_COMPONENTS_GROUPING IGNORE)
  set(CPACK_DEB_COMPONENT_INSTALL ON)
  set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
  set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
  set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
  set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
  set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
  set(CPACK_DEBIAN_PROGRAMS_PACKAGE_NAME cks)
  set(CPACK_DEBIAN_PROGRAMS_PACKAGE_SECTION science)
  set(CPACK_DEBIAN_PROGRAMS_PACKAGE_SHLIBDEPS ON)
  set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${PROJECT_BINARY_DIR}/apps)
  set(CPACK_DEBIAN_PROGRAMS_DESCRIPTION "${CKS_DESCRIPTION}

This package has the programs cks-train_mnist, cks-train_cifar,
cks-train_autoencoder, cks-predict, cks-inspect, cks-export and others,
with manual pages and completion for bash and zsh.")
  set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libcks-dev)
  set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
  # The headers need a C++20 compiler alone; who links needs zlib, and the C++ library it was built with.
  set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "zlib1g-dev")
  set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SUGGESTS "g++ (>= 4:12), cmake (>= 3.25), pkgconf")
  set(CPACK_DEBIAN_DEVELOPMENT_DESCRIPTION "${CKS_DESCRIPTION}

This package has the static library, its headers, and what CMake and
pkg-config need to find it.")
else()
  string(TOLOWER "cks-${PROJECT_VERSION}-${CMAKE_SYSTEM_NAME}-${CMAKE_SYSTEM_PROCESSOR}" CPACK_PACKAGE_FILE_NAME)
  set(CPACK_GENERATOR TGZ)
  set(CPACK_ARCHIVE_COMPONENT_INSTALL ON)
  set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
  set(CPACK_COMPONENT_INCLUDE_TOPLEVEL_DIRECTORY ON)
endif()
include(CPack)
