#include "cks/kernels/common/cpu_check/cpu_features_impl.h"

// Compiled with the flags of the whole build: what they allow. Data alone, no instructions.
namespace cks::kernels {

// A macro that is not defined expands to its own name.
#define CKS_TEXT(tokens) #tokens
#define CKS_IS_ONE(name, macro, present) CKS_TEXT(macro)[0] == '1',
const bool kUsesFeature[] = {CKS_CPU_FEATURES(CKS_IS_ONE) false};

}  // namespace cks::kernels
