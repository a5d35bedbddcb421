if(CKS_SANITIZE)
  # Applied to everything, dependencies built here included: a half-instrumented binary misreports.
  add_compile_options(-fsanitize=${CKS_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${CKS_SANITIZE})
endif()
