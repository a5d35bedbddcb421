#pragma once

// All operations.

#include "cks/core/conv/conv2d.h"       // IWYU pragma: export
#include "cks/core/conv/matmul.h"       // IWYU pragma: export
#include "cks/core/ops/activation.h"    // IWYU pragma: export
#include "cks/core/ops/batch_norm2d.h"  // IWYU pragma: export
#include "cks/core/ops/compare.h"       // IWYU pragma: export
#include "cks/core/ops/counter.h"       // IWYU pragma: export
#include "cks/core/ops/dropout.h"       // IWYU pragma: export
#include "cks/core/ops/eigh.h"          // IWYU pragma: export
#include "cks/core/ops/elementwise.h"   // IWYU pragma: export
#include "cks/core/ops/forward_pass.h"  // IWYU pragma: export
#include "cks/core/ops/image_batch.h"   // IWYU pragma: export
#include "cks/core/ops/loss.h"          // IWYU pragma: export
#include "cks/core/ops/pool2d.h"        // IWYU pragma: export
#include "cks/core/ops/random_fill.h"   // IWYU pragma: export
#include "cks/core/ops/rearrange.h"     // IWYU pragma: export
#include "cks/core/ops/reduce.h"        // IWYU pragma: export
#include "cks/core/ops/softmax.h"       // IWYU pragma: export
#include "cks/core/ops/step_results.h"  // IWYU pragma: export
