# Documents that are installed: licences, changes, and an example to copy, in a folder for each package on Debian
# (which wants changes compressed, and its own list of them), in one folder elsewhere.
set(CKS_MAINTAINER "The CKS maintainers <maintainers@cks.example>" CACHE STRING "Whom packages name")
mark_as_advanced(CKS_MAINTAINER)
set(documents ${CMAKE_INSTALL_DATADIR}/doc/cks)
if(NOT CKS_DEBIAN)
  install(FILES cmake/debian/copyright CHANGELOG.md DESTINATION ${documents} COMPONENT programs)
  install(FILES apps/examples/custom_model.cpp DESTINATION ${documents}/examples COMPONENT development)
  return()
endif()

# CKS_RELEASE_DATE as Debian's list of changes writes it, at the same hour everywhere.
execute_process(COMMAND date --utc --rfc-email --date=${CKS_RELEASE_DATE}
  OUTPUT_VARIABLE day OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
set(folder ${PROJECT_BINARY_DIR}/documents)
file(CONFIGURE OUTPUT ${folder}/changelog.Debian @ONLY CONTENT
"cks (${PROJECT_VERSION}-1) bookworm; urgency=medium

  * Version ${PROJECT_VERSION}; changelog.gz says what is new.

 -- ${CKS_MAINTAINER}  ${day}
")
configure_file(CHANGELOG.md ${folder}/changelog COPYONLY)
foreach(name changelog changelog.Debian)
  execute_process(COMMAND ${CKS_GZIP} -9nkf ${folder}/${name} COMMAND_ERROR_IS_FATAL ANY)
endforeach()
foreach(package_component "cks;programs" "libcks-dev;development")
  list(GET package_component 0 package)
  list(GET package_component 1 component)
  install(FILES cmake/debian/copyright ${folder}/changelog.gz ${folder}/changelog.Debian.gz
          DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${package} COMPONENT ${component})
endforeach()
install(FILES apps/examples/custom_model.cpp DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/libcks-dev/examples
        COMPONENT development)
