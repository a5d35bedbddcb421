# cmake --install: libraries, headers under include/cks/<room>, and the package that
# find_package(cks) finds. Applications go to bin/.
include(CMakePackageConfigHelpers)
set(CKS_PACKAGE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/cks)

set(targets cks_cks)
foreach(room IN LISTS CKS_ROOMS)
  if(room MATCHES "^(.+):(.+)$")
    list(APPEND targets cks_${CMAKE_MATCH_1})
    install(DIRECTORY ${PROJECT_SOURCE_DIR}/${CMAKE_MATCH_2}/
            DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/cks/${CMAKE_MATCH_1}
            FILES_MATCHING PATTERN "*.h" PATTERN "*_impl.h" EXCLUDE)
  endif()
endforeach()
install(FILES ${CKS_INCLUDE_DIR}/cks/config.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/cks)
install(TARGETS ${targets} EXPORT cksTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT cksTargets NAMESPACE cks:: DESTINATION ${CKS_PACKAGE_DIR})

configure_package_config_file(cmake/cksConfig.cmake.in ${PROJECT_BINARY_DIR}/cksConfig.cmake
                              INSTALL_DESTINATION ${CKS_PACKAGE_DIR})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/cksConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/cksConfig.cmake ${PROJECT_BINARY_DIR}/cksConfigVersion.cmake
        DESTINATION ${CKS_PACKAGE_DIR})
