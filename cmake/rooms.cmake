# A room is a folder and a library: kernels <- core <- layers <- models, core <- datasets, and
# cks::train above them. Every include reads "cks/<room>/<file>.h": here through links in the build
# tree, after an installation through copies.
include(GNUInstallDirs)
set(CKS_INCLUDE_DIR ${PROJECT_BINARY_DIR}/include)
file(MAKE_DIRECTORY ${CKS_INCLUDE_DIR}/cks)
set(CKS_ROOMS "" CACHE INTERNAL "")

# cks_add_room(<name> FOLDER <folder> SOURCES <files> DEPENDS <targets> PRIVATE <targets>)
function(cks_add_room name)
  cmake_parse_arguments(ROOM "" "FOLDER" "SOURCES;DEPENDS;PRIVATE" ${ARGN})
  if(NOT ROOM_FOLDER)
    set(ROOM_FOLDER ${name})
  endif()
  file(CREATE_LINK ${PROJECT_SOURCE_DIR}/${ROOM_FOLDER} ${CKS_INCLUDE_DIR}/cks/${name} SYMBOLIC)
  add_library(cks_${name} ${ROOM_SOURCES})
  add_library(cks::${name} ALIAS cks_${name})
  set_target_properties(cks_${name} PROPERTIES EXPORT_NAME ${name})
  target_compile_features(cks_${name} PUBLIC cxx_std_20)
  target_include_directories(cks_${name} PUBLIC
    $<BUILD_INTERFACE:${CKS_INCLUDE_DIR}> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_link_libraries(cks_${name} PUBLIC ${ROOM_DEPENDS}
    PRIVATE $<BUILD_INTERFACE:cks_compile_flags> $<BUILD_INTERFACE:cks_fmt> ${ROOM_PRIVATE})
  set(CKS_ROOMS "${CKS_ROOMS};${name}:${ROOM_FOLDER}" CACHE INTERNAL "")
endfunction()

# cks::cks, what most users link to.
function(cks_add_umbrella)
  add_library(cks_cks INTERFACE)
  add_library(cks::cks ALIAS cks_cks)
  set_target_properties(cks_cks PROPERTIES EXPORT_NAME cks)
  foreach(room train models datasets layers core kernels)
    if(TARGET cks_${room})
      target_link_libraries(cks_cks INTERFACE cks_${room})
    endif()
  endforeach()
endfunction()
