#pragma once
#include <optional>
#include <string>

#include "apps/cli/console.h"
#include "apps/cli/flags.h"
#include "cks/datasets/dataset.h"
#include "cks/train/run_folder.h"
#include "cks/train/trainer.h"

namespace cks::apps {

/// Opens the run, or the folder of several runs, that --resume means, the newest one of the program
/// if it stands alone, and takes the flags from its folder; nothing without --resume. Flags on the
/// command line must be the same, unless they are free. `output_dir`, the flag of that name,
/// becomes the folder. Throws UsageError if --output-dir names another folder, or for a flag whose
/// value is not UTF-8, which no run can keep; IoError if there is no run, or none that can go on;
/// Error, listing the flags that differ.
std::optional<RunFolder> open_resumed_run(const std::string& program, Flags& parser,
                                          const std::optional<std::string>& resume,
                                          std::string& output_dir);

/// Makes --output-dir, or if that is empty a folder runs/<name>-<time>. Throws IoError, naming the
/// flags that help, if it holds a run, or if it cannot be made or written to.
RunFolder create_run_folder(const std::string& name, const std::string& output_dir);

/// Lets runs/latest lead to a run in runs; one elsewhere leaves it as it is. A file system without
/// links has none.
void link_latest(const std::string& run);

/// best.safetensors of the run that runs/latest leads to, or last.safetensors where there is none.
/// Throws IoError.
std::string latest_weights();

/// The command line that goes on with a run, or a group of runs, in a folder.
std::string resume_command(const std::string& program, const std::string& path);

/// Throws Error for data whose path config.json cannot hold. To be asked before a folder is made.
void require_storable(const TrainTest& data);

/// The run in a folder that was begun there and can go on; nothing if none was. Throws IoError, as
/// open_resumed_run().
std::optional<RunFolder> open_if_begun(const std::string& path);

/// Writes the config of a run: at once, or of a resumed run with its first step, when the state has
/// been taken up, so that a refused resume leaves the run as it was. The folder must outlive the
/// callbacks.
void write_config_on_start(const RunFolder& folder, const ConfigSections& config, bool is_resumed,
                           TrainCallbacks& callbacks);

/// Adds to an error of fit() the flags of the program that help, if any do.
void append_flags(Error& error, const Flags& parser);

/// Calls fit(), then takes the progress line away. An error gets the flags that help, and goes into
/// the log before it goes on.
TrainSummary fit_with_advice(const Flags& parser, Console& console, const TrainTask& task,
                             const TrainOptions& options);

}  // namespace cks::apps
