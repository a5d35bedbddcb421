# cmake --install: libraries, headers under include/cks/<room>, and the package that
# find_package(cks) finds. Applications go to bin/.
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
            DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/cks/${room}/${storey})
  endforeach()
endforeach()
install(FILES ${CKS_INCLUDE_DIR}/cks/config.h ${CKS_INCLUDE_DIR}/cks/version.h ${CKS_INCLUDE_DIR}/cks/cks.h
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/cks)
install(TARGETS ${targets} EXPORT cksTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT cksTargets NAMESPACE cks:: DESTINATION ${CKS_PACKAGE_DIR})

configure_package_config_file(cmake/cksConfig.cmake.in ${PROJECT_BINARY_DIR}/cksConfig.cmake
                              INSTALL_DESTINATION ${CKS_PACKAGE_DIR})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/cksConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/cksConfig.cmake ${PROJECT_BINARY_DIR}/cksConfigVersion.cmake
        DESTINATION ${CKS_PACKAGE_DIR})
include(cmake/old_names.cmake)
