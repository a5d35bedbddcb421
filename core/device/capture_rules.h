#pragma once
#include <memory>

#include "cks/core/device/device.h"
#include "cks/core/scoped_value.h"

/// What a captured step (core/capture/capture.h) asks of everything that runs inside it.

namespace cks {

class Shape;
class Storage;

namespace capture {

/// True inside a CapturedStep's lambda on this thread.
bool active();
/// Throws CaptureError, naming the operation, inside a captured step.
void forbid(const char* operation);
/// Records a result on the first run of a captured step, compares with it on later ones.
void note_result(const char* operation, const Shape& shape, Device device);
/// Notes that a captured step writes to a storage, whose version each repetition raises.
void note_write(const std::shared_ptr<Storage>& storage);

/// The step that keeps the notes.
class Notes {
 public:
  /// As note_result and note_write.
  virtual void add_result(const char* operation, const Shape& shape, Device device) = 0;
  virtual void add_write(const std::shared_ptr<Storage>& storage) = 0;

 protected:
  ~Notes() = default;
};
/// Makes `notes` this thread's until the end of the scope.
class NotesScope : ScopedValue<Notes*> {
 public:
  explicit NotesScope(Notes* notes);
};

}  // namespace capture
}  // namespace cks
