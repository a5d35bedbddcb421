# Headers that have moved since programs were written against the package: each old name is installed as
# a header that includes the new one, so that these programs still compile. None of them is in the tree.
# cks_install_old_names(<room> <old> <new> [<old> <new>...])
function(cks_install_old_names room)
  while(ARGN)
    list(POP_FRONT ARGN old new)
    if(NOT EXISTS ${PROJECT_SOURCE_DIR}/${room}/${new})
      message(FATAL_ERROR "${room}/${old} stands for ${room}/${new}, which does not exist")
    endif()
    set(header ${PROJECT_BINARY_DIR}/old_names/${room}/${old})
    file(CONFIGURE OUTPUT ${header} @ONLY
         CONTENT "#pragma once\n// The old name of this header.\n#include \"cks/${room}/${new}\"  // IWYU pragma: export\n")
    cmake_path(GET old PARENT_PATH storey)
    install(FILES ${header} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/cks/${room}/${storey}
            COMPONENT development)
  endwhile()
endfunction()

cks_install_old_names(core
  autograd.h autograd/autograd.h   grad_check.h autograd/grad_check.h
  capture.h capture/capture.h
  conv_plan.h conv/conv_plan.h     conv_report.h conv/conv_report.h  ops/conv2d.h conv/conv2d.h
  cuda.h device/cuda.h             device.h device/device.h          stream.h device/stream.h
  file.h io/file.h                 serialize.h io/safetensors.h      utf8.h io/utf8.h
  storage.h memory/storage.h
  ops/matmul.h conv/matmul.h       ops/shape.h ops/rearrange.h
  device_timer.h profile/device_timer.h  module_path.h profile/module_path.h
  module_timer.h profile/module_timer.h
  random.h tensor/random.h         shape.h tensor/shape.h            tensor.h tensor/tensor.h)
cks_install_old_names(datasets
  ascii_art.h images/ascii_art.h       image_io.h images/image_io.h
  byte_source.h readers/byte_source.h  idx.h readers/idx.h           tar.h readers/tar.h
  digit_strokes.h drawn/digit_strokes.h  drawn_digits.h drawn/drawn_digits.h
  drawn_pictures.h drawn/drawn_pictures.h)
