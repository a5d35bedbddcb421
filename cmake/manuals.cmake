# cks_add_manual(<program>): its manual page and its completions for bash and zsh, which the program prints
# itself (--man, --completion), written whenever it was built anew and installed beside it. Not for a
# processor other than the building one.
set(CKS_MANUALS ${PROJECT_BINARY_DIR}/manuals)
find_program(CKS_GZIP gzip)
mark_as_advanced(CKS_GZIP)
if(CKS_DEBIAN AND NOT CKS_GZIP)
  message(FATAL_ERROR "CKS_DEBIAN=ON needs gzip")
endif()

function(cks_add_manual program)
  if(CMAKE_CROSSCOMPILING)
    return()
  endif()
  set(name ${CKS_PROGRAM_PREFIX}${program})
  set(page ${CKS_MANUALS}/${name}.1)
  set(bash ${CKS_MANUALS}/${name}.bash)
  set(zsh ${CKS_MANUALS}/_${name})
  add_custom_command(OUTPUT ${page} ${bash} ${zsh}
    COMMAND ${CMAKE_COMMAND} -D PROGRAM=$<TARGET_FILE:${program}> -D NAME=${CKS_MANUALS}/${name}
            -D PAGE=${page} -D BASH=${bash} -D ZSH=${zsh} -P ${PROJECT_SOURCE_DIR}/cmake/write_manual.cmake
    DEPENDS ${program} ${PROJECT_SOURCE_DIR}/cmake/write_manual.cmake VERBATIM)
  add_custom_target(${program}_manual ALL DEPENDS ${page} ${bash} ${zsh})
  set(completions site-functions)
  if(CKS_DEBIAN)  # Debian's zsh looks elsewhere, and its pages are compressed
    set(completions vendor-completions)
    add_custom_command(OUTPUT ${page}.gz COMMAND ${CKS_GZIP} -9nkf ${page} DEPENDS ${page} VERBATIM)
    add_custom_target(${program}_manual_gz ALL DEPENDS ${page}.gz)
    set(page ${page}.gz)
  endif()
  install(FILES ${page} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT programs)
  install(FILES ${bash} RENAME ${name} COMPONENT programs
          DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
  install(FILES ${zsh} DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/${completions} COMPONENT programs)
endfunction()
