// Included in the namespace of a backend, whose file defines statistics(), forward(), ... for
// elements X of images and T of channels, add_row_blocks(), and visit_types(dtype, body), which
// calls body.operator()<X, T>(): the entry points of batch_norm.h that do no more than find the
// types.

namespace {

/// Pointers to elements of images; others are to those of channels.
struct Image {
  const void* from;
};
struct ImageResult {
  void* to;
};

template <class X, class T, class Argument>
decltype(auto) of_type(const Argument& argument) {
  if constexpr (std::is_same_v<Argument, Image>) {
    return static_cast<const X*>(argument.from);
  } else if constexpr (std::is_same_v<Argument, ImageResult>) {
    return static_cast<X*>(argument.to);
  } else if constexpr (std::is_same_v<Argument, const void*>) {
    return static_cast<const T*>(argument);
  } else if constexpr (std::is_same_v<Argument, void*>) {
    return static_cast<T*>(argument);
  } else {
    return (argument);
  }
}

template <class Body, class... Arguments>
void call(DType dtype, const Body& body, const Arguments&... arguments) {
  visit_types(dtype, [&]<class X, class T>() { body(of_type<X, T>(arguments)...); });
}

}  // namespace

void batch_norm_statistics(const BatchNormProblem& problem, double eps, double momentum,
                           const void* x, void* mean, void* inv_std, void* running_mean,
                           void* running_var, void* workspace) {
  call(
      problem.dtype, [](const auto&... typed) { statistics(typed...); }, problem, eps, momentum,
      Image{x}, mean, inv_std, running_mean, running_var, static_cast<double*>(workspace));
}

void batch_norm_statistics_of_sums(const BatchNormProblem& problem, double eps, double momentum,
                                   std::int64_t sum_rows, const float* sums, void* mean,
                                   void* inv_std, void* running_mean, void* running_var) {
  call(
      problem.dtype,
      [&]<class T>(T* to_mean, T* to_inv_std, T* to_running_mean, T* to_running_var) {
        const ChannelFinish<T> finish{to_mean,        to_inv_std, to_running_mean,
                                      to_running_var, eps,        momentum};
        add_row_blocks(problem.C, LeftSumsFinish<T>{finish, static_cast<double>(problem.rows)},
                       sum_rows, sums);
      },
      mean, inv_std, running_mean, running_var);
}

void batch_norm_forward(const BatchNormProblem& problem, const void* x, const void* mean,
                        const void* inv_std, const void* weight, const void* bias,
                        const BatchNormEnd& end, void* y) {
  call(
      problem.dtype, [](const auto&... typed) { forward(typed...); }, problem, Image{x}, mean,
      inv_std, weight, bias, end, ImageResult{y});
}

void batch_norm_backward(const BatchNormProblem& problem, BatchNormMode mode, const void* x,
                         const void* dy, const void* mean, const void* inv_std, const void* weight,
                         const BatchNormMask& mask, void* dx, void* dweight, void* dbias,
                         void* workspace) {
  call(
      problem.dtype, [](const auto&... typed) { backward(typed...); }, problem, mode, Image{x},
      Image{dy}, mean, inv_std, weight, mask, ImageResult{dx}, dweight, dbias,
      static_cast<double*>(workspace));
}

void batch_norm_moments(const BatchNormProblem& problem, const void* x, double* to,
                        void* workspace) {
  call(
      problem.dtype, [](const auto&... typed) { moments(typed...); }, problem, Image{x}, to,
      static_cast<double*>(workspace));
}

void batch_norm_merge(const BatchNormProblem& problem, std::int64_t parts, const double* moments,
                      double eps, double momentum, void* mean, void* inv_std, void* running_mean,
                      void* running_var) {
  call(
      problem.dtype, [](const auto&... typed) { merge(typed...); }, problem, parts, moments, eps,
      momentum, mean, inv_std, running_mean, running_var);
}

void batch_norm_gradient_sums(const BatchNormProblem& problem, const void* x, const void* dy,
                              const void* mean, const void* inv_std, const BatchNormMask& mask,
                              double* sums, void* dweight, void* dbias, void* workspace) {
  call(
      problem.dtype, [](const auto&... typed) { gradient_sums(typed...); }, problem, Image{x},
      Image{dy}, mean, inv_std, mask, sums, dweight, dbias, static_cast<double*>(workspace));
}

void batch_norm_input_gradient(const BatchNormProblem& problem, const void* x, const void* dy,
                               const void* mean, const void* inv_std, const void* weight,
                               const BatchNormMask& mask, const double* sums, void* dx) {
  call(
      problem.dtype, [](const auto&... typed) { shared_input_gradient(typed...); }, problem,
      Image{x}, Image{dy}, mean, inv_std, weight, mask, sums, ImageResult{dx});
}
