// LeNet-5 learns drawn digits: the whole training loop, and what becomes of it when layers may not
// learn.
#include "cks/cks.h"

namespace {

/// Share of the test digits that are read rightly after each of three epochs. Only the parameters
/// whose names begin with one of `learns` are changed.
std::vector<double> train(const std::vector<std::string>& learns, cks::LeNet5& model) {
  const cks::TrainTest digits = cks::drawn_digits({.train_count = 6000, .test_count = 1000});
  cks::DataLoader loader(digits.train, {.batch_size = 64, .seed = 1});
  cks::DataLoader test(digits.test, {.batch_size = 100, .shuffle = false});
  model.initialize(1);

  cks::NamedTensors changed;
  for (const auto& [name, parameter] : model.named_parameters()) {
    for (const std::string& prefix : learns) {
      if (name.starts_with(prefix)) {
        changed.emplace_back(name, parameter);
      }
    }
  }
  cks::Adam optimizer(changed, {.learning_rate = 2e-3});

  std::vector<double> accuracies;
  for (int epoch = 0; epoch < 3; ++epoch) {
    while (std::optional<cks::Batch> batch = loader.next()) {
      optimizer.zero_grad();
      const cks::Tensor logits = model(batch->images);                     // forward
      const cks::Tensor loss = cks::cross_entropy(logits, batch->labels);  // one number
      loss.backward();                                                     // the tape, back
      optimizer.step();                                                    // downhill
    }
    accuracies.push_back(cks::evaluate(model, test).accuracy);
  }
  return accuracies;
}

}  // namespace

int main() {
  cks::LeNet5 model;
  std::int64_t numbers = 0;
  for (const auto& [name, parameter] : model.named_parameters()) {
    std::printf("%-12s %-12s %6d\n", name.c_str(), parameter.shape().to_string().c_str(),
                static_cast<int>(parameter.numel()));
    numbers += parameter.numel();
  }
  std::printf("%d numbers in all\n", static_cast<int>(numbers));

  struct Trial {
    const char* what;
    std::vector<std::string> learns;
    double least, most;  // of the share after three epochs
  };
  bool right = true;
  for (const Trial& trial : {Trial{"all layers learn", {"conv", "fc"}, 0.95, 1},
                             Trial{"the linear layers alone", {"fc"}, 0.80, 0.94},
                             Trial{"the convolutions alone", {"conv"}, 0.50, 0.80},
                             Trial{"conv1 alone", {"conv1"}, 0, 0.35}}) {
    const double share = train(trial.learns, model).back();
    right = right && share >= trial.least && share <= trial.most;
    std::printf("%-24s %3.0f to %3.0f %%\n", trial.what, 100 * trial.least, 100 * trial.most);
    std::fprintf(stderr, "%26.1f %%\n", 100 * share);  // machines differ in the last digits
  }
  return right ? 0 : 1;
}
