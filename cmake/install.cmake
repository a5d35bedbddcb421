# cmake --install: libraries, headers under include/cks/<room>, and what find_package(cks) and pkg-config
# find, the component "development". Programs, the component "programs", go to bin/, manual pages and
# completions of shells to where these are looked for (apps/CMakeLists.txt, cmake/manuals.cmake). All of it may be
# moved, and lie in a path with blanks.
include(CMakePackageConfigHelpers)
set(CKS_PACKAGE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/cks)

set(targets cks_cks)
foreach(room IN LISTS CKS_ROOMS)
  list(APPEND targets cks_${room})
  get_target_property(folder cks_${room} CKS_FOLDER)
  get_target_property(headers cks_${room} CKS_HEADERS)
  foreach(header IN LISTS headers)
    cmake_path(GET header PARENT_PATH storey)
    install(FILES ${PROJECT_SOURCE_DIR}/${folder}/${header}
            DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/cks/${room}/${storey} COMPONENT development)
  endforeach()
endforeach()
install(FILES ${CKS_INCLUDE_DIR}/cks/config.h ${CKS_INCLUDE_DIR}/cks/version.h ${CKS_INCLUDE_DIR}/cks/cks.h
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/cks COMPONENT development)
install(TARGETS ${targets} EXPORT cksTargets COMPONENT development
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT cksTargets NAMESPACE cks:: DESTINATION ${CKS_PACKAGE_DIR} COMPONENT development)

configure_package_config_file(cmake/cksConfig.cmake.in ${PROJECT_BINARY_DIR}/cksConfig.cmake
                              INSTALL_DESTINATION ${CKS_PACKAGE_DIR})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/cksConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/cksConfig.cmake ${PROJECT_BINARY_DIR}/cksConfigVersion.cmake
        DESTINATION ${CKS_PACKAGE_DIR} COMPONENT development)
include(cmake/old_names.cmake)

# cks.pc: an archive names what it needs behind it, so the rooms stand highest first.
set(CKS_PC_LIBS "")
foreach(room IN LISTS CKS_ROOMS)
  string(PREPEND CKS_PC_LIBS "-lcks_${room} ")
endforeach()
set(after -lz -pthread)
if(CKS_ENABLE_CUDA)
  list(APPEND after -L${CUDAToolkit_LIBRARY_DIR} -lcudart_static -ldl -lrt)
endif()
if(CKS_WITH_MPI)
  list(APPEND after ${MPI_CXX_LIBRARIES})
endif()
if(CKS_WITH_NCCL)
  list(APPEND after ${CKS_NCCL_LIBRARY})
endif()
list(JOIN after " " after)
set(CKS_PC_LIBS "-Wl,--undefined=cks_check_processor ${CKS_PC_LIBS}${after}")
set(CKS_PC_PREFIX ${CMAKE_INSTALL_PREFIX})
if(NOT CKS_DEBIAN)  # wherever it is moved to
  file(RELATIVE_PATH up /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
  set(CKS_PC_PREFIX "\${pcfiledir}/${up}")
endif()
configure_file(cmake/cks.pc.in ${PROJECT_BINARY_DIR}/cks.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/cks.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT development)

include(cmake/documents.cmake)
if(PROJECT_IS_TOP_LEVEL AND NOT EMSCRIPTEN)
  include(cmake/packages.cmake)
endif()
