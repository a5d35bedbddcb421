# cks/version.h, and the day on which this version was released, CKS_RELEASE_DATE. The version itself stands
# in CMakeLists.txt; CHANGELOG.md must know it.
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/CHANGELOG.md)
file(STRINGS ${PROJECT_SOURCE_DIR}/CHANGELOG.md heads REGEX "^## ")
list(GET heads 0 head)
if(NOT head MATCHES "^## ([0-9.]+) \\(([0-9]+-[0-9][0-9]-[0-9][0-9])\\)$" OR NOT CMAKE_MATCH_1 STREQUAL PROJECT_VERSION)
  message(FATAL_ERROR "CHANGELOG.md begins with '${head}', expected '## ${PROJECT_VERSION} (YYYY-MM-DD)'")
endif()
set(CKS_RELEASE_DATE ${CMAKE_MATCH_2})
configure_file(${CMAKE_CURRENT_LIST_DIR}/version.h.in ${CKS_INCLUDE_DIR}/cks/version.h)
