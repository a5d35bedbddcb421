#pragma once
#include <optional>
#include <string>

#include "apps/flags.h"
#include "apps/train_flags.h"
#include "cks/train/run_folder.h"

namespace cks::apps {

/// Opens the run that --resume means, the newest run of the program if it stands alone, and takes
/// the flags from its folder; nothing without --resume. Flags on the command line must be the same,
/// unless they are free. flags.output_dir becomes the folder.
/// Throws UsageError if --output-dir names another folder; IoError if there is no run, or none that
/// can go on; Error, listing the flags that differ.
std::optional<RunFolder> open_resumed_run(const std::string& program, Flags& parser,
                                          TrainFlags& flags);

/// Makes --output-dir, or a folder runs/<name>-<time> of its own. Throws what RunFolder::create()
/// throws.
RunFolder create_run_folder(const std::string& name, const TrainFlags& flags);

/// A folder for several runs: --output-dir, or a new runs/<name>-<time>. Throws IoError.
std::string create_group_folder(const std::string& name, const TrainFlags& flags);

}  // namespace cks::apps
