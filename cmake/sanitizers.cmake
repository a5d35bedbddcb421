if(CKS_SANITIZE)
  # Applied to everything, dependencies built here included: a half-instrumented binary misreports.
  add_compile_options(-fsanitize=${CKS_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  # The address sanitizer sees as well what is read or written at a bad address; without these, which see some
  # addresses before they are used, and casts to wrong classes, compiling takes a quarter less.
  if(CKS_SANITIZE MATCHES "address.*undefined|undefined.*address")
    add_compile_options(-fno-sanitize=null,object-size,vptr)
    if(NOT CKS_SANITIZE_POINTERS)  # another seventh
      add_compile_options(-fno-sanitize=pointer-overflow)
    endif()
  endif()
  add_link_options(-fsanitize=${CKS_SANITIZE})
endif()
