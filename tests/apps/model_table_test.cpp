#include "apps/report/model_table.h"

#include <doctest/doctest.h>

#include <sstream>
#include <string>

#include "apps/report/profile_tables.h"
#include "cks/models/registry.h"

namespace {

using cks::apps::ModelTable;

TEST_CASE("LeNet-5's table has the counts one gets by hand") {
  const auto model = cks::make_model("lenet5");
  const auto before = model->parameters().front().to_vector<float>();
  model->train();
  const ModelTable table = cks::apps::trace_model(*model, {1, 28, 28, 1});
  CHECK(model->training());
  CHECK(model->parameters().front().to_vector<float>() == before);
  CHECK_FALSE(model->parameters().front().grad().defined());
  REQUIRE(table.rows.size() == 5);
  CHECK(table.parameters == 61706);

  const auto& conv1 = table.rows[0];
  CHECK(conv1.path == "conv1");
  CHECK(conv1.type == "Conv2d");
  CHECK(conv1.output == cks::Shape{1, 28, 28, 6});
  CHECK(conv1.forward.plain == 28 * 28 * 6 * 25);
  // Of the 28 * 5 (row, tap) pairs, 2 + 1 + 1 + 2 read padding; columns likewise.
  CHECK(conv1.forward.executed == (28 * 5 - 6) * (28 * 5 - 6) * 6);
  CHECK(conv1.filter_gradient.executed == conv1.forward.executed);
  CHECK(conv1.input_gradient.plain == 0);  // nobody needs it

  const auto& conv2 = table.rows[1];
  CHECK(conv2.forward.plain == 10 * 10 * 16 * 25 * 6);
  CHECK(conv2.forward.skipped() == 0.0);
  CHECK(conv2.input_gradient.plain == 14 * 14 * 16 * 25 * 6);
  CHECK(conv2.input_gradient.executed == conv2.forward.executed);

  const auto& fc1 = table.rows[2];
  CHECK(fc1.forward.plain == 400 * 120);
  CHECK(fc1.input_gradient.plain == 400 * 120);
  CHECK(table.forward.plain == 416520);
  const std::string text = to_string(table);
  CHECK(text.find("C-K-S skips 18.36 %") != std::string::npos);
  // Floats: 28 * 28 * 6 + 10 * 10 * 16 + 120 + 84 + 10 outputs, 61,706 parameters.
  CHECK(conv1.output_bytes == 28 * 28 * 6 * 4);
  CHECK(table.output_bytes == (4704 + 1600 + 214) * 4);
  CHECK(text.find("outputs of the layers 25.5 KiB, parameters 241.0 KiB") != std::string::npos);
}

TEST_CASE("the counts grow with the batch, the shares do not") {
  const auto model = cks::make_model("resnet20");
  const ModelTable one = cks::apps::trace_model(*model, {1, 32, 32, 3});
  const ModelTable two = cks::apps::trace_model(*model, {2, 32, 32, 3});
  CHECK(two.forward.plain == 2 * one.forward.plain);
  CHECK(two.output_bytes == 2 * one.output_bytes);
  CHECK(two.parameter_bytes == one.parameter_bytes);
  CHECK(two.all_passes().skipped() == doctest::Approx(one.all_passes().skipped()));
  CHECK(one.all_passes().skipped() > 0.1);
}

TEST_CASE("a report of convolutions divides by the steps") {
  cks::ConvRecord record;
  record.module_path = "conv1";
  record.plan.kernel = "simd";
  record.calls = 4;
  record.plain = 4000;
  record.executed = 3000;
  record.exact = 3000;
  record.seconds = 0.02;
  CHECK(cks::apps::conv_table({record}, 4).find(" - ") != std::string::npos);
  record.error = 1.25e-7;
  const std::string text = cks::apps::conv_table({record}, 4);
  CHECK(text.find("1,000") != std::string::npos);
  CHECK(text.find("750") != std::string::npos);
  CHECK(text.find("25.00 %") != std::string::npos);
  CHECK(text.find("5.000") != std::string::npos);
  CHECK(text.find("convv2") != std::string::npos);
  CHECK(text.find("1.2e-07") != std::string::npos);
  CHECK(cks::apps::conv_table({}, 1) == "no convolution ran\n");
  // It stays within 120 columns, whatever the names and the counts.
  record.module_path = "body.inception4d.branch_of_many_layers.0.convolution";
  record.plan.pass = cks::kernels::Conv2dPass::backward_filter;
  record.plan.kernel = "a_kernel_with_a_name_of_many_letters";
  record.plan.split_k = 1024;
  record.plain = record.executed = record.exact = std::int64_t{1} << 60;
  record.seconds = 1e5;
  const std::string wide = cks::apps::conv_table({record}, 4);
  CHECK(wide.find("288.23 P") != std::string::npos);
  CHECK(wide.find("..._layers.0.convolution\n") != std::string::npos);
  CHECK(wide.find("V: those in which neither factor is such a zero") != std::string::npos);
  std::istringstream lines(wide);
  for (std::string line; std::getline(lines, line);) {
    CHECK_MESSAGE(line.size() <= 120, line);
  }
}

TEST_CASE("records as CSV: a row each, text with commas and quotes kept in one cell") {
  cks::ConvRecord record;
  record.module_path = "layer1.0.conv1";
  record.plan.reason = "a \"reason\", with a comma";
  record.calls = 2;
  record.plain = 4000;
  record.executed = 3000;
  record.exact = 2000;
  record.seconds = 0.5;
  cks::ConvRecord checked = record;
  checked.error = 1e-7;
  std::istringstream csv(cks::apps::conv_csv({record, checked}));
  std::string header, first, second, rest;
  std::getline(csv, header);
  std::getline(csv, first);
  std::getline(csv, second);
  CHECK_FALSE(std::getline(csv, rest));
  CHECK(header ==
        "module,pass,problem,plan,calls,multiply_adds,executed,v,executed_over_v,seconds,error");
  CHECK(first.starts_with("layer1.0.conv1,forward,\"N0 "));
  CHECK(first.find("(a \"\"reason\"\", with a comma)\",2,4000,3000,2000,1.500000,0.5,") !=
        std::string::npos);
  CHECK(first.ends_with("0.5,"));
  CHECK(second.ends_with("0.5,1.000e-07"));
}

}  // namespace
