# cmake -D PROGRAM=... -D NAME=... -D PAGE=... -D BASH=... -D ZSH=... -P write_manual.cmake: what the program says of
# itself when it is started as NAME.
cmake_path(GET NAME PARENT_PATH folder)
file(MAKE_DIRECTORY ${folder})  # Ninja makes those of outputs, make does not
file(CREATE_LINK ${PROGRAM} ${NAME} SYMBOLIC)
execute_process(COMMAND ${NAME} --man OUTPUT_FILE ${PAGE} COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${NAME} --completion bash OUTPUT_FILE ${BASH} COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${NAME} --completion zsh OUTPUT_FILE ${ZSH} COMMAND_ERROR_IS_FATAL ANY)
file(REMOVE ${NAME})
