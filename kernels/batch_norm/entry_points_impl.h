// Included in the namespace of a backend, whose file defines statistics(), forward(), ... for
// elements of a type: the entry points of batch_norm.h that do no more than find the type.

void batch_norm_statistics(const BatchNormProblem& problem, double eps, double momentum,
                           const void* x, void* mean, void* inv_std, void* running_mean,
                           void* running_var, void* workspace) {
  visit_real_elements(
      "batch_norm", problem.dtype, [](const auto&... typed) { statistics(typed...); }, problem, eps,
      momentum, x, mean, inv_std, running_mean, running_var, static_cast<double*>(workspace));
}

void batch_norm_forward(const BatchNormProblem& problem, const void* x, const void* mean,
                        const void* inv_std, const void* weight, const void* bias, void* y) {
  visit_real_elements(
      "batch_norm", problem.dtype, [](const auto&... typed) { forward(typed...); }, problem, x,
      mean, inv_std, weight, bias, y);
}

void batch_norm_backward(const BatchNormProblem& problem, BatchNormMode mode, const void* x,
                         const void* dy, const void* mean, const void* inv_std, const void* weight,
                         void* dx, void* dweight, void* dbias, void* workspace) {
  visit_real_elements(
      "batch_norm", problem.dtype, [](const auto&... typed) { backward(typed...); }, problem, mode,
      x, dy, mean, inv_std, weight, dx, dweight, dbias, static_cast<double*>(workspace));
}

void batch_norm_moments(const BatchNormProblem& problem, const void* x, double* to,
                        void* workspace) {
  visit_real_elements(
      "batch_norm", problem.dtype, [](const auto&... typed) { moments(typed...); }, problem, x, to,
      static_cast<double*>(workspace));
}

void batch_norm_merge(const BatchNormProblem& problem, std::int64_t parts, const double* moments,
                      double eps, double momentum, void* mean, void* inv_std, void* running_mean,
                      void* running_var) {
  visit_real_elements(
      "batch_norm", problem.dtype, [](const auto&... typed) { merge(typed...); }, problem, parts,
      moments, eps, momentum, mean, inv_std, running_mean, running_var);
}

void batch_norm_gradient_sums(const BatchNormProblem& problem, const void* x, const void* dy,
                              const void* mean, const void* inv_std, double* sums, void* dweight,
                              void* dbias, void* workspace) {
  visit_real_elements(
      "batch_norm", problem.dtype, [](const auto&... typed) { gradient_sums(typed...); }, problem,
      x, dy, mean, inv_std, sums, dweight, dbias, static_cast<double*>(workspace));
}

void batch_norm_input_gradient(const BatchNormProblem& problem, const void* x, const void* dy,
                               const void* mean, const void* inv_std, const void* weight,
                               const double* sums, void* dx) {
  visit_real_elements(
      "batch_norm", problem.dtype, [](const auto&... typed) { shared_input_gradient(typed...); },
      problem, x, dy, mean, inv_std, weight, sums, dx);
}
