#include "client/render/plan.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/base/error.h"

namespace quantized {
namespace {

using Json = nlohmann::ordered_json;

Json Plan() {
  return {{"status", "plan"},
          {"model_name", "m"},
          {"architecture", "LlamaForCausalLM"},
          {"parameter_count", 100},
          {"num_layers", 2},
          {"original_dtype", "float16"},
          {"original_size", 2'000'000},
          {"outputs",
           {{{"quantization_level", "Q4_K_M"},
             {"files", {"/o/m-Q4_K_M.gguf"}},
             {"file_size", 600'000},
             {"bits_per_weight", 4.849},
             {"substitutions",
              {{{"tensor", "a"}, {"wanted_type", "Q4_K"}, {"used_type", "Q5_0"}, {"why", "w"}},
               {{"tensor", "b"}, {"wanted_type", "Q4_K"}, {"used_type", "Q5_0"}, {"why", "w"}}}}},
            {{"quantization_level", "F16"},
             {"files", {"/o/m-F16-00001-of-00002.gguf", "/o/m-F16-00002-of-00002.gguf"}},
             {"file_size", 2'000'000},
             {"bits_per_weight", 16},
             {"substitutions", Json::array()}}}},
          {"conversion", nullptr},
          {"measures_importance", false},
          {"seconds", nullptr},
          {"threads", 4},
          {"memory_needed_bytes", 30'000'000},
          {"memory_available_bytes", 8'000'000'000},
          {"device_memory_needed_bytes", 0},
          {"disk_needed_bytes", 2'600'000},
          {"disk_free_bytes", 1'000'000},
          {"warnings", {"too little disk\x1b[1m"}}};
}

TEST(PlanTest, IsATableAndWhatTheJobNeeds) {
  const auto text = FormatPlan(Plan().dump());
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(text->human,
            "Model: m (LlamaForCausalLM, 2 layers)\n"
            "Original Size: 2.0 MB (float16)\n"
            "LEVEL   SIZE      BITS/WEIGHT  FILES  OUTPUT\n"
            "Q4_K_M  600.0 kB  4.85         1      /o/m-Q4_K_M.gguf\n"
            "F16     2.0 MB    16.00        2      /o/m-F16-00001-of-00002.gguf\n"
            "Substitution: Q4_K_M: 2 tensors are Q5_0 instead of Q4_K (w)\n"
            "Memory: 30.0 MB needed with 4 threads, 8.0 GB available\n"
            "Disk: 2.6 MB needed, 1.0 MB free\n"
            "Warning: too little disk[1m\n");
  EXPECT_EQ(Json::parse(text->json), Plan());
}

TEST(PlanTest, TellsOfWhatIsFetchedFromTheHub) {
  const auto text = FormatPlan(Plan().dump(), HubFacts{"org/m", 3'000'000});
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_NE(text->human.find("Model: org/m ("), std::string::npos);
  EXPECT_NE(text->human.find("\nDownload: 3.0 MB\n"), std::string::npos);
  EXPECT_EQ(Json::parse(text->json)["download_bytes"], 3'000'000);
  EXPECT_EQ(FormatPlan(Plan().dump(), HubFacts{"org/m", 0})->human.find("Download"),
            std::string::npos);
}

TEST(PlanTest, TellsOfTheTimeAndTheMatrixWhereThereIsOne) {
  Json plan = Plan();
  plan["measures_importance"] = true;
  plan["seconds"] = 75.4;
  plan["device_memory_needed_bytes"] = 1'200'000'000;
  const auto text = FormatPlan(plan.dump());
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_NE(text->human.find("Importance Matrix: measured first\n"
                             "Time: about 01:15 for running the model on the calibration text, by "
                             "a probe of one layer\nMemory: "),
            std::string::npos)
      << text->human;
  EXPECT_NE(text->human.find("\nDevice Memory: 1.2 GB needed\nDisk: "), std::string::npos)
      << text->human;
}

// Of one output.
Json ConversionPlanObject() {
  Json plan = Plan();
  plan["outputs"].erase(1);
  plan["conversion"] = {{"from", "gptq 4bit"},
                        {"fidelity", "requantized"},
                        {"why", "Q4_K_M has other grids"},
                        {"relative_error", 0.05}};
  return plan;
}

TEST(PlanTest, TellsOfAConversionWhatItLoses) {
  Json plan = ConversionPlanObject();
  const auto text = FormatPlan(plan.dump());
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_NE(text->human.find("Conversion: requantized from gptq 4bit: Q4_K_M has other grids; "
                             "weights change by about 5 %\nMemory: "),
            std::string::npos)
      << text->human;
  const auto conversion = ReadConversionPlan(plan.dump());
  ASSERT_TRUE(conversion.ok()) << conversion.status();
  EXPECT_EQ(conversion->level, "Q4_K_M");
  EXPECT_EQ(conversion->fidelity, "requantized");
  EXPECT_EQ(conversion->relative_error, 0.05);

  plan["conversion"] = {{"from", "gptq 4bit"}, {"fidelity", "exact"}, {"why", ""}};
  EXPECT_FALSE(FormatPlan(plan.dump()).ok()) << "without its error";
  plan["conversion"]["relative_error"] = 0;
  EXPECT_NE(FormatPlan(plan.dump())->human.find("Conversion: exact from gptq 4bit\nMemory: "),
            std::string::npos);
  EXPECT_FALSE(ReadConversionPlan(Plan().dump()).ok()) << "of a quantization";
}

TEST(PlanTest, WhatIsNoPlanIsRefused) {
  const auto refused = [](const std::string& text) {
    return ErrorOf(FormatPlan(text).status()) == Error::kInternal;
  };
  EXPECT_TRUE(refused(""));
  EXPECT_TRUE(refused("[]"));
  const Json whole = Plan();
  for (const auto& [key, value] : whole.items()) {
    if (key == "parameter_count") continue;  // only passed on
    Json plan = whole;
    plan.erase(key);
    EXPECT_TRUE(refused(plan.dump())) << key;
    plan[key] = Json::object();  // of no key's kind
    EXPECT_TRUE(refused(plan.dump())) << key;
  }
  Json plan = Plan();
  plan["outputs"][0]["files"] = Json::array();
  EXPECT_TRUE(refused(plan.dump()));
  plan = Plan();
  plan["outputs"][0]["substitutions"][0]["why"] = 7;
  EXPECT_TRUE(refused(plan.dump()));
  plan = Plan();
  plan["warnings"] = {7};
  EXPECT_TRUE(refused(plan.dump()));
}

}  // namespace
}  // namespace quantized
