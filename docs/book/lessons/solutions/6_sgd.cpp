// Exercise 6, after chapter 8: gradient descent.
//
//   d = g + weight_decay * p,   v = momentum * v + d,   p = p - rate * v
//
// element by element; v begins as zeros and is kept from step to step. Then: scripts/lesson.sh
// check 6
#include "lesson.h"

void lesson::sgd_step(std::vector<float>& p, const std::vector<float>& g, std::vector<float>& v,
                      [[maybe_unused]] float rate, [[maybe_unused]] float momentum,
                      [[maybe_unused]] float weight_decay) {
  for (std::size_t i = 0; i < p.size(); ++i) {
    // The gap: the new v[i] and the new p[i].
    v[i] = momentum * v[i] + (g[i] + weight_decay * p[i]);
    p[i] -= rate * v[i];
    // The gap ends.
  }
}
