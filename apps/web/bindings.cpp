// What JavaScript calls. Texts and arrays that come back stay valid until the next call of the same
// function; where a call fails, cks_error() says why.
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "apps/web/conv_picture.h"
#include "apps/web/lenet_lesson.h"
#include "cks/datasets/drawn/drawn_digits.h"
#include "cks/kernels/common/parallel_for.h"

namespace {

std::string last_error;
std::unique_ptr<cks::web::LenetLesson> lesson;

/// Runs body(); its result, or 0 or null with the reason in last_error.
auto guarded(auto&& body) -> decltype(body()) {
  last_error.clear();
  try {
    return body();
  } catch (const std::exception& error) {
    last_error = error.what();
    return {};
  }
}

cks::web::LenetLesson& running_lesson() {
  if (lesson == nullptr) {
    throw cks::Error("lesson: not begun");
  }
  return *lesson;
}

int begin(int seed, int batch_size, double learning_rate, int epochs, auto&& data) {
  return guarded([&] {
    cks::kernels::set_num_threads(1);
    lesson = std::make_unique<cks::web::LenetLesson>(
        data(), cks::web::LenetLessonOptions{.seed = static_cast<std::uint64_t>(seed),
                                             .batch_size = batch_size,
                                             .learning_rate = learning_rate,
                                             .epochs = epochs});
    return 1;
  });
}

cks::ImageDataset brought(std::uint8_t* pixels, const std::uint8_t* labels, int count) {
  cks::ImageDataset data;
  data.name = "mnist";
  data.images = cks::Tensor::from_blob(pixels, {count, 28, 28, 1}, cks::DType::uint8);
  data.labels =
      cks::Tensor::from_vector(std::vector<std::int64_t>(labels, labels + count), {count});
  data.class_names = cks::numbered_classes(10);
  return data;
}

}  // namespace

extern "C" {

const char* cks_error() { return last_error.c_str(); }

/// JSON (conv_picture.h), or null.
const char* cks_conv_picture(int ih, int iw, int fh, int fw, int sh, int sw, int pt, int pb, int pl,
                             int pr, int dh, int dw, int seed) {
  static std::string json;
  return guarded([&] {
    json = cks::web::conv_picture({.IH = ih,
                                   .IW = iw,
                                   .FH = fh,
                                   .FW = fw,
                                   .stride = {sh, sw},
                                   .padding = {pt, pb, pl, pr},
                                   .dilation = {dh, dw}},
                                  static_cast<std::uint64_t>(seed));
    return json.c_str();
  });
}

/// Begins anew, on drawn digits; the learning rate is the highest of a cycle of so many epochs. 0
/// on failure, as below.
int cks_lesson_begin(int seed, int train_count, int test_count, int batch_size,
                     double learning_rate, int epochs) {
  return begin(seed, batch_size, learning_rate, epochs, [&] {
    return cks::drawn_digits({.train_count = train_count, .test_count = test_count});
  });
}

/// Begins anew, on digits that the page brought: 28 x 28 bytes each, and a label of 0 to 9. The
/// memory stays the page's, and must stay until another lesson begins.
int cks_lesson_begin_with(int seed, std::uint8_t* train, const std::uint8_t* train_labels,
                          int train_count, std::uint8_t* test, const std::uint8_t* test_labels,
                          int test_count, int batch_size, double learning_rate, int epochs) {
  return begin(seed, batch_size, learning_rate, epochs, [&] {
    cks::TrainTest data{brought(train, train_labels, train_count),
                        brought(test, test_labels, test_count)};
    cks::set_statistics(data);
    return data;
  });
}

/// steps, images, loss, accuracy, learning rate, steps of an epoch, of a cycle.
const double* cks_lesson_step() {
  static std::vector<double> result;
  return guarded([&] {
    const auto step = running_lesson().step();
    result = {static_cast<double>(step.steps),
              static_cast<double>(step.images),
              step.loss,
              step.accuracy,
              step.learning_rate,
              static_cast<double>(lesson->steps_per_epoch()),
              static_cast<double>(lesson->steps_per_cycle())};
    return result.data();
  });
}

int cks_lesson_set_learning_rate(double learning_rate) {
  return guarded([&] {
    running_lesson().set_learning_rate(learning_rate);
    return 1;
  });
}

/// loss, accuracy.
const double* cks_lesson_evaluate() {
  static std::vector<double> result;
  return guarded([&] {
    const cks::Evaluation test = running_lesson().evaluate();
    result = {test.loss, test.accuracy};
    return result.data();
  });
}

/// Probabilities of the 10 classes for image_size^2 bytes.
const float* cks_lesson_predict(const std::uint8_t* pixels) {
  static std::vector<float> result;
  return guarded([&] {
    cks::web::LenetLesson& running = running_lesson();
    result = running.predict({pixels, pixels + running.image_size() * running.image_size()});
    return result.data();
  });
}

/// Pixels of a test image; its label goes to `label`.
const std::uint8_t* cks_lesson_test_image(int index, int* label) {
  return guarded([&] {
    const cks::ImageDataset& test = running_lesson().test();
    *label = static_cast<int>(test.labels[index].item());
    return static_cast<const std::uint8_t*>(test.images[index].data());
  });
}

/// LenetLesson::values(); how many there are goes to `count`.
const float* cks_lesson_values(const char* name, int* count) {
  static std::vector<float> result;
  return guarded([&] {
    result = running_lesson().values(name);
    *count = static_cast<int>(result.size());
    return result.data();
  });
}

/// Writes a safetensors file to `path` of the page's own memory.
int cks_lesson_save(const char* path) {
  return guarded([&] {
    running_lesson().save(path);
    return 1;
  });
}

}  // extern "C"
