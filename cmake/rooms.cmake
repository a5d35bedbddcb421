# A room is a folder and a library: kernels <- core <- layers <- models, core <- datasets, and
# cks::train above them. Every include reads "cks/<room>/<file>.h": here through links in the build
# tree, after an installation through copies.
include(GNUInstallDirs)
set(CKS_INCLUDE_DIR ${PROJECT_BINARY_DIR}/include)
file(MAKE_DIRECTORY ${CKS_INCLUDE_DIR}/cks)
set(CKS_ROOMS "" CACHE INTERNAL "")

# cks_add_room(<name> FOLDER <folder> SOURCES <files> HEADERS <files> DEPENDS <targets> PRIVATE <targets>)
# HEADERS are what is installed; without them, every header of the room but *_impl.h.
function(cks_add_room name)
  cmake_parse_arguments(ROOM "" "FOLDER" "SOURCES;HEADERS;DEPENDS;PRIVATE" ${ARGN})
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
  if(NOT ROOM_HEADERS)
    file(GLOB_RECURSE ROOM_HEADERS CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR}/${ROOM_FOLDER}
         ${PROJECT_SOURCE_DIR}/${ROOM_FOLDER}/*.h)
    list(FILTER ROOM_HEADERS EXCLUDE REGEX "_impl\\.h$")
  endif()
  set_target_properties(cks_${name} PROPERTIES CKS_FOLDER ${ROOM_FOLDER} CKS_HEADERS "${ROOM_HEADERS}")
  set(CKS_ROOMS ${CKS_ROOMS} ${name} CACHE INTERNAL "")
endfunction()

# cks::cks, what most users link to, and cks/cks.h, what most of them include: every installed header
# but the kernels', of which the others include what users need.
function(cks_add_umbrella)
  set(text "#pragma once\n/// All of CKS: tensors, operations, layers, models, data and training. Written by CMake.\n")
  foreach(room core layers models datasets train)
    if(TARGET cks_${room})
      get_target_property(headers cks_${room} CKS_HEADERS)
      foreach(header IN LISTS headers)
        string(APPEND text "#include \"cks/${room}/${header}\"  // IWYU pragma: export\n")
      endforeach()
    endif()
  endforeach()
  file(CONFIGURE OUTPUT ${CKS_INCLUDE_DIR}/cks/cks.h CONTENT "${text}" @ONLY)
  add_library(cks_cks INTERFACE)
  add_library(cks::cks ALIAS cks_cks)
  set_target_properties(cks_cks PROPERTIES EXPORT_NAME cks)
  foreach(room train models datasets layers core kernels)
    if(TARGET cks_${room})
      target_link_libraries(cks_cks INTERFACE cks_${room})
    endif()
  endforeach()
endfunction()
