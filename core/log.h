#pragma once
#include <cstdint>
#include <string>

namespace cks {

/// The library's messages. Nobody hears them until an application says where they go: the library
/// prints nothing unasked and touches no logger of anybody else. Safe from several threads.
enum class LogLevel : std::uint8_t { debug, info, warning, error };

void log_debug(const std::string& message);
void log_info(const std::string& message);
void log_warning(const std::string& message);
void log_error(const std::string& message);

/// Sends messages of at least this level to the standard error stream, as "warning: text". A second
/// call changes the level.
void log_to_stderr(LogLevel lowest = LogLevel::warning);
/// Appends messages of at least this level to a file, each with date and time. A second call closes
/// the former file. Makes the folder if there is none. Throws IoError if the file cannot be opened.
void log_to_file(const std::string& path, LogLevel lowest = LogLevel::info);
/// Writes out what a file still waits for.
void flush_log();
/// As at the start: messages go nowhere, the file is closed.
void close_log();

}  // namespace cks
