# cmake -D PROGRAM=... -D NAME=... -D PAGE=... -D BASH=... -D ZSH=... -P write_manual.cmake: what the program says of
# itself when it is started as NAME.
file(CREATE_LINK ${PROGRAM} ${NAME} SYMBOLIC)
execute_process(COMMAND ${NAME} --man OUTPUT_FILE ${PAGE} COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${NAME} --completion bash OUTPUT_FILE ${BASH} COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${NAME} --completion zsh OUTPUT_FILE ${ZSH} COMMAND_ERROR_IS_FATAL ANY)
file(REMOVE ${NAME})
